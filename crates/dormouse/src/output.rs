//! Output of the commands: text for people, JSON for programs, errors on stderr.
//!
//! If the reader closes the pipe (`dormouse ls | head -1`), the program ends without an error.

use std::io::{self, IsTerminal, Write};

use dormouse_api::ErrorBody;
use dormouse_api::error::Envelope;
use serde::Serialize;

use crate::Outcome;

/// Output of a command.
#[derive(Debug)]
pub(crate) struct Output {
    form: Form,
}

/// Format of the output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// Text, with colours or without.
    Text(Colours),
    /// JSON.
    Json,
}

/// Whether text is coloured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Colours {
    /// On: the stream is a terminal that supports them.
    On,
    /// Off: the stream is a file or a pipe, or NO_COLOR is set (<https://no-color.org>).
    Off,
}

/// Style of a text on a terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Style {
    Plain,
    Bold,
    Dim,
    Green,
    Yellow,
    Red,
}

impl Colours {
    /// Whether text on this stream is coloured.
    pub(crate) fn of(stream: &impl IsTerminal) -> Self {
        let set = |name| std::env::var_os(name).is_some_and(|v| !v.is_empty());
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        if stream.is_terminal() && !set("NO_COLOR") && !dumb {
            Self::On
        } else {
            Self::Off
        }
    }

    /// Applies a style to the text, if colours are on.
    pub(crate) fn paint(self, style: Style, text: &str) -> String {
        let code = match style {
            Style::Plain => return text.to_owned(),
            Style::Bold => 1,
            Style::Dim => 2,
            Style::Green => 32,
            Style::Yellow => 33,
            Style::Red => 31,
        };
        match self {
            Self::On => format!("\x1b[{code}m{text}\x1b[0m"),
            Self::Off => text.to_owned(),
        }
    }
}

impl Output {
    pub(crate) fn new(json: bool) -> Self {
        let form = if json {
            Form::Json
        } else {
            Form::Text(Colours::of(&io::stdout()))
        };
        Self { form }
    }

    /// Prints a result as one line of JSON, or as text with a final line feed.
    pub(crate) fn result(
        &self,
        value: &impl Serialize,
        text: impl FnOnce(Colours) -> String,
    ) -> Outcome {
        match write(&self.render(value, text)?) {
            Ok(()) => Ok(()),
            // the reader closed the pipe: not an error
            Err(e) if e.kind() == io::ErrorKind::BrokenPipe => std::process::exit(0),
            Err(e) => Err(ErrorBody::new(
                "machine",
                format!("cannot write the result: {e}"),
            )),
        }
    }

    /// As [`result`](Self::result), but only logs an error of the output.
    pub(crate) fn announce(&self, value: &impl Serialize, text: impl FnOnce(Colours) -> String) {
        let told = self.render(value, text).map_err(|e| e.message);
        if let Err(error) = told.and_then(|text| write(&text).map_err(|e| e.to_string())) {
            tracing::warn!(%error, "cannot print the result");
        }
    }

    fn render(
        &self,
        value: &impl Serialize,
        text: impl FnOnce(Colours) -> String,
    ) -> Outcome<String> {
        let mut out = match self.form {
            Form::Json => serde_json::to_string(value).map_err(|e| {
                ErrorBody::new(
                    "internal",
                    format!("the result cannot be written as JSON: {e}"),
                )
            })?,
            Form::Text(colours) => text(colours),
        };
        if !out.is_empty() && !out.ends_with('\n') {
            out.push('\n');
        }
        Ok(out)
    }

    /// Whether results are printed as JSON.
    pub(crate) fn is_json(&self) -> bool {
        matches!(self.form, Form::Json)
    }

    /// Prints a remark on stderr; not with JSON.
    pub(crate) fn remark(&self, text: &str) {
        if matches!(self.form, Form::Text(_)) {
            to_stderr(text);
        }
    }

    /// Prints an error on stderr.
    pub(crate) fn failure(&self, error: &ErrorBody) {
        match self.form {
            Form::Json => {
                let envelope = Envelope {
                    error: error.clone(),
                };
                to_stderr(&serde_json::to_string(&envelope).unwrap_or_else(|_| error.to_string()));
            }
            Form::Text(_) => {
                let colours = Colours::of(&io::stderr());
                let mark = colours.paint(Style::Red, "error:");
                to_stderr(&format!("{mark} {}", error.message));
                if let Some(hint) = &error.hint {
                    to_stderr(&format!("{} {hint}", colours.paint(Style::Dim, " hint:")));
                }
            }
        }
    }
}

fn write(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_bytes())?;
    stdout.flush()
}

/// Writes a line to stderr; ignores errors of the write.
fn to_stderr(line: &str) {
    let _gone = writeln!(io::stderr().lock(), "{line}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_style_has_no_effect_without_colours() {
        assert_eq!(Colours::On.paint(Style::Red, "x"), "\x1b[31mx\x1b[0m");
        assert_eq!(Colours::Off.paint(Style::Red, "x"), "x");
    }
}
