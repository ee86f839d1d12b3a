//! The head of a request: parses bytes into fields or refuses them with a reason.

use super::Refused;

/// Most bytes of a head: a browser's is below 2 kB.
pub const HEAD_BYTES_MAX: usize = 16 * 1024;

/// Most bytes of a request target.
const TARGET_BYTES_MAX: usize = 8 * 1024;

/// Most header fields.
const FIELDS_MAX: usize = 64;

/// The request method.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// GET: send the resource.
    Get,
    /// HEAD: send only the head of the answer to a GET.
    Head,
    /// POST: accept the body.
    Post,
    /// DELETE: remove the resource.
    Delete,
    /// Any other method; none is supported.
    Other,
}

/// The announced length of the body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Length {
    /// This many bytes; 0 without a body.
    Known(u64),
    /// Chunked: the chunks carry their lengths.
    Chunked,
}

/// A request, without its body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// The method.
    pub method: Method,
    /// The path: begins with `/`, still percent-encoded, without the query.
    pub path: String,
    /// The text after the `?`; empty without one.
    pub query: String,
    /// The requested host in lower case, with its port if one is given.
    pub host: Option<String>,
    /// The announced length of the body.
    pub length: Length,
    fields: Vec<(String, String)>,
}

/// A parsed head and its effect on the connection.
#[derive(Debug)]
pub(super) struct Parsed {
    pub(super) request: Request,
    /// Length of the head in bytes.
    pub(super) bytes: usize,
    /// Whether the client lets the connection stay open.
    pub(super) keep: bool,
    /// Whether the body is sent only after a `100 Continue`.
    pub(super) expects: bool,
}

impl Request {
    /// A header field by its lower-case name; the first if it is repeated.
    pub fn field(&self, name: &str) -> Option<&str> {
        self.all(name).next()
    }

    fn all<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a str> + use<'a> {
        let named = self.fields.iter().filter(|(theirs, _)| theirs == name);
        let values: Vec<&str> = named.map(|(_, value)| value.as_str()).collect();
        values.into_iter()
    }
}

/// Parses a head; `None` while it is incomplete.
pub(super) fn parse(input: &[u8]) -> Result<Option<Parsed>, Refused> {
    let mut fields = [httparse::EMPTY_HEADER; FIELDS_MAX];
    let mut head = httparse::Request::new(&mut fields);
    let window = &input[..input.len().min(HEAD_BYTES_MAX)];
    match head.parse(window) {
        Ok(httparse::Status::Complete(bytes)) => {
            only_whole_line_ends(&window[..bytes])?;
            build(&head, bytes).map(Some)
        }
        Ok(httparse::Status::Partial) => {
            only_whole_line_ends(window)?;
            too_long(window).map_or(Ok(None), Err)
        }
        Err(error) => Err(refusal(error)),
    }
}

/// Refuses a head in which a line ends with a bare LF: some servers read on until a CR LF, so they
/// would find other fields in it.
fn only_whole_line_ends(head: &[u8]) -> Result<(), Refused> {
    let mut before = 0;
    for byte in head {
        if *byte == b'\n' && before != b'\r' {
            return Err(Refused::bad("a line of the head ends without a CR"));
        }
        before = *byte;
    }
    Ok(())
}

/// A value without the blanks around it. Only space and tab are blanks in HTTP: a server that also
/// removed those of Unicode would read a length where others see none.
pub(super) fn without_blanks(value: &str) -> &str {
    value.trim_matches([' ', '\t'])
}

fn refusal(error: httparse::Error) -> Refused {
    match error {
        httparse::Error::TooManyHeaders => Refused {
            status: 431,
            why: "too many header fields",
        },
        httparse::Error::Version => Refused {
            status: 505,
            why: "only HTTP/1.0 and HTTP/1.1 are spoken here",
        },
        httparse::Error::HeaderName
        | httparse::Error::HeaderValue
        | httparse::Error::NewLine
        | httparse::Error::Status
        | httparse::Error::Token => Refused::bad("this is no HTTP request"),
    }
}

fn too_long(window: &[u8]) -> Option<Refused> {
    let line = window.iter().position(|byte| *byte == b'\n');
    if line.is_none() && window.len() > TARGET_BYTES_MAX {
        return Some(TARGET_TOO_LONG);
    }
    (window.len() >= HEAD_BYTES_MAX).then_some(Refused {
        status: 431,
        why: "the header fields are too long",
    })
}

const TARGET_TOO_LONG: Refused = Refused {
    status: 414,
    why: "the address is too long",
};

fn build(head: &httparse::Request<'_, '_>, bytes: usize) -> Result<Parsed, Refused> {
    let target = head.path.unwrap_or_default();
    if target.len() > TARGET_BYTES_MAX {
        return Err(TARGET_TOO_LONG);
    }
    let (authority, path, query) = split(target)?;
    let text = |value: &[u8]| without_blanks(&String::from_utf8_lossy(value)).to_owned();
    let fields = head.headers.iter();
    let fields = fields.map(|f| (f.name.to_ascii_lowercase(), text(f.value)));
    let mut request = Request {
        method: method(head.method.unwrap_or_default()),
        path: path.to_owned(),
        query: query.to_owned(),
        host: None,
        length: Length::Known(0),
        fields: fields.collect(),
    };
    let newer = head.version == Some(1);
    request.host = host(&request, authority, newer)?;
    request.length = length(&request, newer)?;
    let keep = keeps(&request, newer);
    let expects = expects(&request, newer)?;
    Ok(Parsed {
        request,
        bytes,
        keep,
        expects,
    })
}

fn method(name: &str) -> Method {
    match name {
        "GET" => Method::Get,
        "HEAD" => Method::Head,
        "POST" => Method::Post,
        "DELETE" => Method::Delete,
        _ => Method::Other,
    }
}

/// Splits a target into authority (if named), path and query.
fn split(target: &str) -> Result<(Option<&str>, &str, &str), Refused> {
    let (authority, rest) = match target.strip_prefix("http://") {
        None => (None, target),
        Some(whole) => {
            let end = whole.find(['/', '?']).unwrap_or(whole.len());
            (Some(&whole[..end]), &whole[end..])
        }
    };
    let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
    let path = if authority.is_some() && path.is_empty() {
        "/"
    } else {
        path
    };
    if !path.starts_with('/') || rest.contains('#') {
        return Err(Refused::bad("this is no address of this server"));
    }
    Ok((authority, path, query))
}

fn host(
    request: &Request,
    authority: Option<&str>,
    newer: bool,
) -> Result<Option<String>, Refused> {
    let mut hosts = request.all("host");
    let (named, second) = (hosts.next(), hosts.next());
    if second.is_some() {
        return Err(Refused::bad("the host is named twice"));
    }
    if (named.is_none() && newer) || named.is_some_and(str::is_empty) {
        return Err(Refused::bad("the host is not named"));
    }
    Ok(authority.or(named).map(str::to_ascii_lowercase))
}

/// The body's length. Two statements of it are refused: request smuggling relies on two readers
/// that disagree.
fn length(request: &Request, newer: bool) -> Result<Length, Refused> {
    let mut lengths = request.all("content-length");
    let mut codings = request.all("transfer-encoding");
    let (length, coding) = (lengths.next(), codings.next());
    if lengths.next().is_some()
        || codings.next().is_some()
        || (length.is_some() && coding.is_some())
    {
        return Err(Refused::bad("the body's length is said twice"));
    }
    match (length, coding) {
        (None, None) => Ok(Length::Known(0)),
        (Some(length), _) => known(length),
        (None, Some(_)) if !newer => Err(Refused::bad("HTTP/1.0 knows no chunks")),
        (None, Some(coding)) if coding.eq_ignore_ascii_case("chunked") => Ok(Length::Chunked),
        (None, Some(_)) => Err(Refused {
            status: 501,
            why: "no transfer coding but chunked is known here",
        }),
    }
}

fn known(length: &str) -> Result<Length, Refused> {
    let digits = !length.is_empty() && length.bytes().all(|byte| byte.is_ascii_digit());
    let number = length.parse().ok().filter(|_| digits);
    let number = number.ok_or(Refused::bad("the body's length is no number"))?;
    Ok(Length::Known(number))
}

fn keeps(request: &Request, newer: bool) -> bool {
    let says = |word: &str| {
        let mut words = request.all("connection").flat_map(|list| list.split(','));
        words.any(|theirs| without_blanks(theirs).eq_ignore_ascii_case(word))
    };
    !says("close") && (newer || says("keep-alive"))
}

fn expects(request: &Request, newer: bool) -> Result<bool, Refused> {
    match request.field("expect") {
        None => Ok(false),
        Some(what) if what.eq_ignore_ascii_case("100-continue") => Ok(newer),
        Some(_) => Err(Refused {
            status: 417,
            why: "nothing but 100-continue is known here",
        }),
    }
}

#[cfg(test)]
mod tests;
