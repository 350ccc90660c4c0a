//! Random bytes for greetings and proofs.

use super::rejected::Rejected;

/// `N` random bytes.
pub(super) fn random<const N: usize>() -> Result<[u8; N], Rejected> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|_| Rejected::Silently)?;
    Ok(bytes)
}

/// Twenty random bytes without NUL, which ends the salt in the greeting.
pub(super) fn salt() -> Result<[u8; 20], Rejected> {
    Ok(random()?.map(|byte: u8| byte % 127 + 1))
}
