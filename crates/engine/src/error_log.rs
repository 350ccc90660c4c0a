//! Extracts the reason of a failed start from a server's error log.

/// Longest reason, in bytes.
const MAX_LEN: usize = 600;

/// Reason of a failure, from the log of one start: the lines marked as errors, without time stamps, or
/// the last three lines if none is marked.
#[must_use]
pub fn reason(log: &str) -> String {
    let lines = || log.lines().map(str::trim).filter(|line| !line.is_empty());
    let mut errors: Vec<&str> = lines()
        .filter_map(|line| {
            line.split_once("[ERROR] ")
                .map(|(_, e)| e)
                .or_else(|| line.strip_prefix("ERROR: "))
        })
        .collect();
    errors.dedup();
    let mut text = if errors.is_empty() {
        let last: Vec<&str> = lines().collect();
        last[last.len().saturating_sub(3)..].join("; ")
    } else {
        // the first errors are the cause; "Aborting" says nothing
        errors.retain(|e| *e != "Aborting");
        errors.truncate(4);
        errors.join("; ")
    };
    if text.is_empty() {
        text.push_str("its error log is empty");
    }
    if text.len() > MAX_LEN {
        let whole = (0..=MAX_LEN).rev().find(|end| text.is_char_boundary(*end));
        text.truncate(whole.unwrap_or_default());
        text.push('…');
    }
    text
}

/// Reason of a failure, from what a program that is no server has said: the lines marked as errors, or the first ones,
/// for they are the cause and what follows is advice.
#[must_use]
pub fn reason_of_program(said: &str) -> String {
    let marked = said.contains("[ERROR] ") || said.lines().any(|line| line.starts_with("ERROR: "));
    if marked {
        return reason(said);
    }
    let first: Vec<&str> = said
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .take(4)
        .collect();
    if first.is_empty() {
        return reason("");
    }
    reason(&format!("ERROR: {}", first.join(" ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_quoted_from_its_first_line() {
        let said = "\nNeither host 'box' nor 'localhost' could be looked up with\n'/usr/bin/resolveip'\nPlease \
                    configure the 'hostname' command to return a correct\nhostname.\nIf you want to solve this at a \
                    later stage, restart this script\nwith the --force option\n";
        assert_eq!(
            reason_of_program(said),
            "Neither host 'box' nor 'localhost' could be looked up with '/usr/bin/resolveip' Please configure the \
             'hostname' command to return a correct hostname."
        );
        let marked = "Installing\n2026-11-22  8:49:42 0 [ERROR] InnoDB: disk full\nmore\n";
        assert_eq!(reason_of_program(marked), "InnoDB: disk full");
        assert_eq!(reason_of_program(""), "its error log is empty");
    }

    #[test]
    fn error_lines_are_the_reason() {
        let log = "\
2026-11-22  8:49:42 0 [Note] Starting MariaDB 10.11.19-MariaDB-0+deb12u1 as process 9581
2026-11-22  8:49:42 0 [ERROR] InnoDB: Operating system error number 28 in a file operation.
2026-11-22  8:49:42 0 [ERROR] Plugin 'InnoDB' registration as a STORAGE ENGINE failed.
2026-11-22  8:49:42 0 [ERROR] Unknown/unsupported storage engine: InnoDB
2026-11-22  8:49:42 0 [ERROR] Aborting
";
        assert_eq!(
            reason(log),
            "InnoDB: Operating system error number 28 in a file operation.; Plugin 'InnoDB' registration as a \
             STORAGE ENGINE failed.; Unknown/unsupported storage engine: InnoDB"
        );
    }

    #[test]
    fn without_errors_the_last_lines_are_the_reason() {
        assert_eq!(
            reason("a\n\nb\nc\nlibfoo.so.1: cannot open\n"),
            "b; c; libfoo.so.1: cannot open"
        );
        assert_eq!(reason(""), "its error log is empty");
    }

    #[test]
    fn a_reason_is_short() {
        let log = format!("x [ERROR] {}", "ä".repeat(MAX_LEN));
        assert!(reason(&log).len() <= MAX_LEN + '…'.len_utf8());
    }
}
