//! Lists that come in pages, and whether they came whole.

use std::collections::HashSet;

use super::{error::Error, types::Page};

/// A tenant that pages without end must not hold us.
const MOST_PAGES: usize = 1_000;

/// What has an id of its own.
pub(super) trait Identified {
    fn id(&self) -> &str;
}

/// What was listed, each once.
pub(super) struct Pages<T> {
    pub(super) items: Vec<T>,
    /// The last page had no token, no token came twice, and each page brought something.
    pub(super) complete: bool,
}

/// Reads pages until the last; `fetch` gets the token of the page before.
///
/// # Errors
/// When a page did not come.
pub(super) async fn read_all<T: Identified, F>(fetch: impl Fn(Option<String>) -> F) -> Result<Pages<T>, Error>
where
    F: Future<Output = Result<Page<T>, Error>>,
{
    let mut items: Vec<T> = vec![];
    let (mut ids, mut tokens) = (HashSet::new(), HashSet::new());
    let mut token: Option<String> = None;
    for _ in 0..MOST_PAGES {
        let page = fetch(token.clone()).await?;
        let before = items.len();
        items.extend(page.list.into_iter().filter(|item| ids.insert(item.id().to_owned())));
        let Some(next) = page.next_page_token.filter(|t| !t.is_empty()) else {
            return Ok(Pages { items, complete: true });
        };
        let former = token.replace(next.clone());
        if !tokens.insert(next) || (former.is_some() && items.len() == before) {
            break;
        }
    }
    Ok(Pages { items, complete: false })
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use proptest::prelude::*;

    use super::*;
    use crate::c1::{Client, types::Role};

    fn page(ids: &[&str], token: Option<&str>) -> Page<Client> {
        let list = ids.iter().map(|id| Client { id: (*id).into(), ..Client::default() }).collect();
        Page { list, next_page_token: token.map(str::to_owned) }
    }

    /// What is read, whether it is taken for complete, and the tokens that were sent.
    async fn read(pages: Vec<Page<Client>>) -> (Vec<String>, bool, Vec<Option<String>>) {
        let sent = RefCell::new(vec![]);
        let pages = RefCell::new(pages.into_iter());
        let fetch = async |token: Option<String>| {
            sent.borrow_mut().push(token);
            Ok(pages.borrow_mut().next().expect("no page is asked for after the last"))
        };
        let read = read_all(fetch).await.unwrap();
        (read.items.into_iter().map(|c| c.id).collect(), read.complete, sent.into_inner())
    }

    #[tokio::test]
    async fn pages_are_read_to_the_last() {
        let (ids, complete, sent) =
            read(vec![page(&["a", "b"], Some("1")), page(&["b", "c"], Some("2")), page(&["d"], Some(""))]).await;
        assert_eq!(ids, ["a", "b", "c", "d"]);
        assert!(complete);
        assert_eq!(sent, [None, Some("1".into()), Some("2".into())]);
    }

    #[tokio::test]
    async fn roles_are_told_apart_by_their_ids() {
        let role = |id: &str| Role { id: id.into(), name: "same".into() };
        let list = || vec![role("a"), role("b"), role("a")];
        let read = read_all(async |_| Ok(Page { list: list(), next_page_token: None })).await.unwrap();
        assert_eq!(read.items.iter().map(|r| &r.id).collect::<Vec<_>>(), ["a", "b"]);
    }

    #[tokio::test]
    async fn an_empty_first_page_and_an_empty_last_one_are_no_fault() {
        let (ids, complete, _) = read(vec![page(&[], Some("1")), page(&["a"], Some("2")), page(&[], None)]).await;
        assert_eq!(ids, ["a"]);
        assert!(complete);
    }

    #[tokio::test]
    async fn a_list_that_goes_round_is_not_complete() {
        let (_, complete, sent) = read(vec![page(&["a"], Some("1")), page(&["b"], Some("1"))]).await;
        assert!(!complete);
        assert_eq!(sent.len(), 2);
        let (_, complete, sent) = read(vec![page(&["a"], Some("1")), page(&["a"], Some("2"))]).await;
        assert!(!complete, "nothing new came");
        assert_eq!(sent.len(), 2);
    }

    #[tokio::test]
    async fn a_list_without_end_is_given_up() {
        let count = RefCell::new(0);
        let endless = async |_: Option<String>| {
            *count.borrow_mut() += 1;
            let number = count.borrow().to_string();
            Ok(page(&[&number], Some(&number)))
        };
        let read = read_all(endless).await.unwrap();
        assert!(!read.complete);
        assert_eq!(read.items.len(), MOST_PAGES);
    }

    proptest! {
        /// Whatever a tenant answers, it ends, and nothing is there twice.
        #[test]
        fn any_answers_come_to_an_end(
            answers in prop::collection::vec((prop::collection::vec("[a-d]", 0..4), prop::option::of("[x-z]?")), 1..6)
        ) {
            let next = RefCell::new(answers.iter().cycle());
            let fetch = async |_: Option<String>| {
                let (ids, token) = next.borrow_mut().next().unwrap();
                Ok(page(&ids.iter().map(String::as_str).collect::<Vec<_>>(), token.as_deref()))
            };
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let read = runtime.block_on(read_all(fetch)).unwrap();
            let ids: HashSet<_> = read.items.iter().map(|c| &c.id).collect();
            prop_assert_eq!(ids.len(), read.items.len());
        }
    }
}
