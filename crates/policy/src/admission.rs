//! Limit on concurrent server starts.

/// Number of concurrent starts: the configured one, else one per core. A start uses mostly CPU, so
/// more concurrent starts delay each other.
#[must_use]
pub fn width(configured: Option<usize>, cores: usize) -> usize {
    configured.unwrap_or(cores).clamp(1, 1024)
}

#[cfg(test)]
mod tests {
    use super::width;

    #[test]
    fn one_start_per_core_unless_configured_and_never_none() {
        assert_eq!(width(None, 2), 2);
        assert_eq!(width(None, 0), 1);
        assert_eq!(width(Some(8), 2), 8);
        assert_eq!(width(Some(0), 2), 1);
    }
}
