//! The one source of randomness: identifiers, tokens and the dice of the faults.

const ALPHANUMERIC: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

/// `N` bytes from the operating system.
pub fn bytes<const N: usize>() -> [u8; N] {
    let mut buffer = [0; N];
    if getrandom::fill(&mut buffer).is_err() {
        // Without randomness every secret would be a known one; there is nothing to go on with.
        std::process::abort();
    }
    buffer
}

/// A number in `0..bound`. The bias of the remainder does not matter here.
pub fn below(bound: u32) -> u32 {
    u32::from_le_bytes(bytes()) % bound
}

/// A number in `[0, 1)`.
pub fn unit() -> f64 {
    f64::from(u32::from_le_bytes(bytes())) / (f64::from(u32::MAX) + 1.0)
}

/// 27 letters and digits: the form of C1's ids of users, roles, tenants and requests.
pub fn ksuid() -> String {
    bytes::<27>().iter().map(|byte| char::from(ALPHANUMERIC[usize::from(*byte) % ALPHANUMERIC.len()])).collect()
}
