//! HTTP/1.1 without sockets or clock: bytes to requests, answers to bytes.
//!
//! [`connection`] is the state machine of one connection. [`request`] parses heads, `chunks`
//! chunked bodies, [`places`] says who makes room, [`range`] ranges of a file, [`percent`] percent-encoding; [`site`] is the
//! interface to the code that answers requests. Ambiguous input is refused: a request that a proxy
//! in front of this server may have delimited differently ends its connection.

mod chunks;
pub mod connection;
pub mod percent;
pub mod places;
pub mod range;
pub mod request;
pub mod site;

/// Why a request is refused: a status and a text for the sender.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused {
    /// The HTTP status.
    pub status: u16,
    /// The fault, in words.
    pub why: &'static str,
}

impl Refused {
    /// A 400: the request is malformed or ambiguous.
    pub(crate) const fn bad(why: &'static str) -> Self {
        Refused { status: 400, why }
    }
}

/// The reason phrase of a status; `Unknown` for statuses not used here.
pub fn reason(status: u16) -> &'static str {
    match status {
        100 => "Continue",
        200 => "OK",
        201 => "Created",
        206 => "Partial Content",
        304 => "Not Modified",
        400 => "Bad Request",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        411 => "Length Required",
        413 => "Content Too Large",
        414 => "URI Too Long",
        415 => "Unsupported Media Type",
        416 => "Range Not Satisfiable",
        417 => "Expectation Failed",
        421 => "Misdirected Request",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        505 => "HTTP Version Not Supported",
        507 => "Insufficient Storage",
        _ => "Unknown",
    }
}
