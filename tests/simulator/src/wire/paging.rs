//! Pages: a size between 10 and 100, and an opaque token for the next one.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};

use crate::tenant::Refusal;

/// Rows of a page when nothing is asked.
pub const DEFAULT_SIZE: usize = 25;

/// Which page is wanted.
pub struct Page {
    size: usize,
    start: usize,
}

impl Page {
    /// From what was asked: 0 means the default, small and large sizes are pulled into 10..=100.
    pub fn new(size: i64, token: &str) -> Result<Self, Refusal> {
        let size = match usize::try_from(size) {
            Err(_) => return Err(Refusal::invalid("page_size must not be negative")),
            Ok(0) => DEFAULT_SIZE,
            Ok(size) => size.clamp(10, 100),
        };
        Ok(Self { size, start: if token.is_empty() { 0 } else { position(token)? } })
    }

    /// Takes this page out of rows that carry their position, and names the next page ("" after the last).
    /// Positions, not offsets: a row that vanishes between two pages moves no other.
    pub fn of<T>(&self, rows: impl Iterator<Item = (usize, T)>) -> (Vec<T>, String) {
        let mut rows = rows.skip_while(|(position, _)| *position < self.start);
        let page = rows.by_ref().take(self.size).map(|(_, row)| row).collect();
        (page, rows.next().map(|(position, _)| token(position)).unwrap_or_default())
    }
}

/// The token of the page that begins at a position.
pub fn token(position: usize) -> String {
    URL_SAFE_NO_PAD.encode(format!("from:{position}"))
}

fn position(token: &str) -> Result<usize, Refusal> {
    let text = URL_SAFE_NO_PAD.decode(token).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    text.as_deref()
        .and_then(|text| text.strip_prefix("from:")?.parse().ok())
        .ok_or_else(|| Refusal::invalid("page_token is not valid"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_is_on_exactly_one_page() {
        let rows = || (0..23).map(|n| (n * 2, n));
        let (mut seen, mut next, mut pages) = (Vec::new(), String::new(), 0);
        loop {
            let (page, token) = Page::new(1, &next).unwrap().of(rows());
            seen.extend(page);
            pages += 1;
            next = token;
            if next.is_empty() {
                break;
            }
        }
        assert_eq!((seen, pages), ((0..23).collect(), 3));
    }

    #[test]
    fn sizes_are_clamped_and_nonsense_is_refused() {
        assert_eq!(Page::new(0, "").unwrap().size, 25);
        assert_eq!(Page::new(3, "").unwrap().size, 10);
        assert_eq!(Page::new(1000, "").unwrap().size, 100);
        assert!(Page::new(-1, "").is_err());
        assert!(Page::new(0, "zzz").is_err());
    }
}
