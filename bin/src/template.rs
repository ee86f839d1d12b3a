//! Lines in a form that the user gives: `--format '{artist} - {title}'`.
//!
//! The fields are those of `--json`. `{title:20}` takes twenty columns of the terminal, `{year:>6}` six with
//! the value to the right; `{{` and `}}` are braces, `\t` and `\n` what they are elsewhere.

use serde::Serialize;
use serde_json::Value;
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use crate::failure::Failure;

/// A form for lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Template(Vec<Piece>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(String),
    Field {
        name: String,
        /// Columns; 0 takes as many as the value.
        width: usize,
        right: bool,
    },
}

impl Template {
    /// Reads a form; the error says where it ends.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let mut pieces = Vec::new();
        let mut plain = String::new();
        let mut rest = text;
        while let Some(sign) = rest.chars().next() {
            let behind = &rest[sign.len_utf8()..];
            if let Some((kept, left)) = escaped(rest) {
                plain.push(kept);
                rest = left;
            } else if sign == '{' {
                let (field, left) = behind
                    .split_once('}')
                    .ok_or("a { has no } (write {{ for a brace)")?;
                pieces.push(Piece::Text(std::mem::take(&mut plain)));
                pieces.push(Piece::field(field)?);
                rest = left;
            } else {
                plain.push(sign);
                rest = behind;
            }
        }
        pieces.push(Piece::Text(plain));
        Ok(Template(pieces))
    }

    /// The line of one object, without its end.
    pub(crate) fn line(&self, object: &impl Serialize) -> Result<String, Failure> {
        let failed = |why: String| Failure::Usage(format!("--format: {why}"));
        let object = serde_json::to_value(object).map_err(|error| failed(error.to_string()))?;
        let mut line = String::new();
        for piece in &self.0 {
            match piece {
                Piece::Text(text) => line.push_str(text),
                Piece::Field { name, width, right } => {
                    let value = object
                        .get(name)
                        .ok_or_else(|| failed(unknown(name, &object)))?;
                    push(&mut line, &shown(value), *width, *right);
                }
            }
        }
        Ok(line)
    }
}

impl Piece {
    fn field(text: &str) -> Result<Self, String> {
        let (name, width) = text.split_once(':').unwrap_or((text, ""));
        let (right, digits) = match width.strip_prefix('>') {
            Some(digits) => (true, digits),
            None => (false, width),
        };
        let number = match digits {
            "" if width.is_empty() => Some(0),
            digits => digits.parse().ok().filter(|n| *n <= WIDTH_MAX),
        };
        let Some(width) = number else {
            return Err(format!("{{{text}}}: a width is a number up to {WIDTH_MAX}"));
        };
        let name = name.trim().to_owned();
        Ok(Piece::Field { name, width, right })
    }
}

/// The sign that two signs stand for, and what follows.
fn escaped(text: &str) -> Option<(char, &str)> {
    let pairs = [
        ("{{", '{'),
        ("}}", '}'),
        ("\\n", '\n'),
        ("\\t", '\t'),
        ("\\\\", '\\'),
    ];
    pairs
        .iter()
        .find_map(|(two, one)| Some((*one, text.strip_prefix(two)?)))
}

fn unknown(name: &str, object: &Value) -> String {
    let fields: Vec<&str> = object
        .as_object()
        .map(|fields| fields.keys().map(String::as_str).collect())
        .unwrap_or_default();
    format!("there is no {{{name}}}, but {}", fields.join(", "))
}

/// A value on one line, without what moves a terminal's cursor.
fn shown(value: &Value) -> String {
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => value.to_string(),
    };
    text.chars().filter(|sign| !sign.is_control()).collect()
}

/// Adds a value in so many columns: cut, or filled with spaces.
fn push(line: &mut String, value: &str, width: usize, right: bool) {
    let mut kept = value.to_owned();
    if width > 0 && kept.width() > width {
        let mut left = width - 1;
        kept = kept
            .chars()
            .take_while(|sign| {
                let fits = sign.width().unwrap_or(0) <= left;
                left = left.saturating_sub(sign.width().unwrap_or(0));
                fits
            })
            .collect();
        kept.push('…');
    }
    let space = " ".repeat(width.saturating_sub(kept.width()));
    let (before, behind) = if right {
        (space.as_str(), "")
    } else {
        ("", space.as_str())
    };
    line.extend([before, &kept, behind]);
}

/// Columns of a field; no terminal has more.
const WIDTH_MAX: usize = 1000;

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn line(form: &str) -> Result<String, String> {
        let object = json!({ "title": "東京 nights", "year": 1973, "artist": "Ana\u{1b}[2J" });
        let template = Template::parse(form)?;
        template
            .line(&object)
            .map_err(|failure| format!("{failure:?}"))
    }

    /// Fields are filled and cut by the columns of the terminal, not by their characters.
    #[test]
    fn lines_have_the_form_that_was_given() {
        for (form, wanted) in [
            ("{artist} - {title}", "Ana[2J - 東京 nights"),
            ("{title:5}|", "東京…|"),
            ("{title:4}|", "東… |"),
            ("{title:13}|", "東京 nights  |"),
            ("{year:>6}|", "  1973|"),
            ("{{{year}}}\\t\\\\", "{1973}\t\\"),
            ("", ""),
        ] {
            assert_eq!(line(form).as_deref(), Ok(wanted), "{form}");
        }
    }

    #[test]
    fn a_wrong_form_is_an_error_that_says_so() {
        for (form, why) in [
            ("{title", "has no }"),
            ("{title:x}", "a width is a number"),
            ("{title:>}", "a width is a number"),
            ("{name}", "artist, title, year"),
        ] {
            let error = line(form).expect_err(form);
            assert!(error.contains(why), "{form}: {error}");
        }
    }
}
