use super::*;

fn read(head: &str) -> Result<Option<Parsed>, Refused> {
    parse(head.replace('\n', "\r\n").as_bytes())
}

fn request(head: &str) -> Parsed {
    read(head).unwrap().unwrap()
}

fn status(head: &str) -> u16 {
    read(head).unwrap_err().status
}

#[test]
fn a_head_is_read_whole_or_not_at_all() {
    let head = "GET /a%20b?q=x&y HTTP/1.1\nHost: LocalHost:80\nRange:  bytes=0- \n\n";
    for end in 0..head.len() - 1 {
        assert!(read(&head[..end]).unwrap().is_none(), "{end}");
    }
    let Parsed { request, keep, .. } = request(head);
    assert_eq!((&*request.path, &*request.query), ("/a%20b", "q=x&y"));
    assert_eq!(request.host.as_deref(), Some("localhost:80"));
    assert_eq!(request.field("range"), Some("bytes=0-"));
    assert!(keep);
}

#[test]
fn a_proxy_may_name_the_whole_address() {
    let head = request("GET http://h:1/p?q HTTP/1.1\nHost: other\n\n");
    assert_eq!(head.request.host.as_deref(), Some("h:1"));
    assert_eq!(head.request.path, "/p");
    assert_eq!(
        request("GET http://h HTTP/1.1\nHost: h\n\n").request.path,
        "/"
    );
}

#[test]
fn a_connection_stays_as_long_as_both_want() {
    let keep = |line: &str| request(&format!("GET / {line}\n\n")).keep;
    assert!(keep("HTTP/1.1\nHost: h") && keep("HTTP/1.0\nConnection: Keep-Alive"));
    assert!(!keep("HTTP/1.0") && !keep("HTTP/1.1\nHost: h\nConnection: x, Close"));
}

#[test]
fn a_body_has_one_length() {
    let length = |line: &str| request(&format!("POST / HTTP/1.1\nHost: h\n{line}\n\n"));
    assert_eq!(
        length("Content-Length: 12").request.length,
        Length::Known(12)
    );
    assert_eq!(
        length("Transfer-Encoding: Chunked").request.length,
        Length::Chunked
    );
    assert!(length("Content-Length: 1\nExpect: 100-Continue").expects);
}

/// What a server does with a head: nginx 1.22.1, asked with these bytes, and this one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Taken,
    Refused,
}

use Verdict::{Refused as No, Taken as Yes};

fn verdict(head: &[u8]) -> Verdict {
    match parse(head) {
        Ok(Some(_)) => Yes,
        Err(_) => No,
        Ok(None) => panic!("{:?} is no whole head", String::from_utf8_lossy(head)),
    }
}

/// What nginx refuses is refused here, so this server behind or beside it reads no request that nginx
/// does not. Where nginx takes a line that another server could read in another way, this one is the
/// stricter. Tabs around a value are the one exception: the standard allows them, and no server reads
/// a number between tabs as another number.
#[test]
fn lines_that_two_servers_read_differently_are_refused() {
    let cases = [
        ("Content-Length: 1", Yes, Yes),
        ("Content-Length:1", Yes, Yes),
        ("Content-Length: \t1 \t", No, Yes),
        ("Content-Length: \u{a0}1", No, No),
        ("Content-Length: 1\u{a0}", No, No),
        ("Content-Length: \u{3000}1", No, No),
        ("Content-Length: 1\u{3000}", No, No),
        ("Content-Length: \u{85}1", No, No),
        ("Content-Length: 1\u{85}", No, No),
        ("Content-Length: \u{2028}1", No, No),
        ("Content-Length: 1 1", No, No),
        ("Content-Length: 1, 1", No, No),
        ("Content-Length: +1", No, No),
        ("Content-Length: -1", No, No),
        ("Content-Length: 0x1", No, No),
        ("Content-Length: ", No, No),
        ("Content-Length: 99999999999999999999", No, No),
        ("Content-Length : 1", No, No),
        ("Content-Length\t: 1", No, No),
        (" Content-Length: 1", No, No),
        ("Content-Length: 1\r\nContent-Length: 1", No, No),
        ("Content-Length: 1\r\nContent-Length: 2", No, No),
        ("Content-Length: 1\r\nTransfer-Encoding: chunked", No, No),
        ("Transfer-Encoding: chunked\r\nContent-Length: 1", No, No),
        ("Transfer-Encoding: chunked", Yes, Yes),
        ("Transfer-Encoding: \u{a0}chunked", No, No),
        ("Transfer-Encoding: chunked\u{a0}", No, No),
        ("Transfer-Encoding: chunked\u{3000}", No, No),
        ("Transfer-Encoding: chunked\u{85}", No, No),
        ("Transfer-Encoding: \u{b}chunked", No, No),
        ("Transfer-Encoding: \u{c}chunked", No, No),
        ("Transfer-Encoding: chunked, chunked", No, No),
        ("Transfer-Encoding: gzip, chunked", No, No),
        ("Transfer-Encoding: identity", No, No),
        ("Transfer-Encoding: chunked;x", No, No),
        ("Transfer-Encoding:", No, No),
        ("Transfer-Encoding : chunked", No, No),
        ("Transfer-Encoding: x\r\n chunked", No, No),
        (
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
            No,
            No,
        ),
        ("X: \u{a0}a", Yes, Yes),
        ("X: a\r\n b", No, No),
        ("X\u{0}: a", No, No),
        ("X: a\u{0}b", No, No),
        ("X: a\rb", No, No),
        ("X: a\r", Yes, No),
        ("X\u{a0}: a", Yes, No),
        ("X: a\nY: b", Yes, No),
        ("X: a\n", Yes, No),
        ("Content-Length: 1\nX: y", Yes, No),
        ("Host: other", No, No),
        (": x", No, No),
        ("no colon", No, No),
        ("Expect: 200-ok", Yes, No),
    ];
    for (line, nginx, ours) in cases {
        let head = format!("POST / HTTP/1.1\r\nHost: h\r\n{line}\r\n\r\n");
        assert_eq!(verdict(head.as_bytes()), ours, "{line:?}, nginx: {nginx:?}");
    }
}

/// The same for whole heads: a line ends in CR LF and in nothing else.
#[test]
fn heads_that_two_servers_read_differently_are_refused() {
    let cases = [
        ("GET / HTTP/1.1\r\nHost: h\r\n\r\n", Yes, Yes),
        ("\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n", Yes, Yes),
        ("\nGET / HTTP/1.1\r\nHost: h\r\n\r\n", Yes, No),
        ("GET / HTTP/1.1\nHost: h\r\n\r\n", Yes, No),
        ("GET / HTTP/1.1\r\nHost: h\n\r\n", Yes, No),
        ("GET / HTTP/1.1\r\nHost: h\r\n\n", Yes, No),
        ("GET / HTTP/1.1\nHost: h\n\n", Yes, No),
        ("GET / HTTP/1.1\rHost: h\r\n\r\n", No, No),
        ("GET / HTTP/1.1\r\r\nHost: h\r\n\r\n", No, No),
        ("GET / HTTP/1.1\r\nHost: h\r\r\n\r\n", Yes, No),
        ("GET / HTTP/1.1\r\nHost: h\r\n\rX: y\r\n\r\n", No, No),
        ("GET\t/ HTTP/1.1\r\nHost: h\r\n\r\n", No, No),
        ("GET  / HTTP/1.1\r\nHost: h\r\n\r\n", Yes, No),
        ("GET / HTTP/1.1 \r\nHost: h\r\n\r\n", Yes, No),
        ("GET / HTTP/1.1\r\nHost: \r\n\r\n", No, No),
        ("GET / HTTP/1.1\r\n\r\n", No, No),
    ];
    for (head, nginx, ours) in cases {
        let text = head.as_bytes();
        assert_eq!(verdict(text), ours, "{head:?}, nginx: {nginx:?}");
    }
}

/// What is unclear is refused with the status that names the fault.
#[test]
fn a_refusal_names_its_fault() {
    let cases = [
        ("Content-Length: 1\nTransfer-Encoding: chunked", 400),
        ("Transfer-Encoding: chunked, chunked", 501),
        ("Transfer-Encoding: identity", 501),
        ("Transfer-Encoding: \u{a0}chunked", 501),
        ("Expect: 200-ok", 417),
    ];
    for (line, expected) in cases {
        let head = format!("POST / HTTP/1.1\nHost: h\n{line}\n\n");
        assert_eq!(status(&head), expected, "{line:?}");
    }
}

/// A bare LF is refused as soon as it is there; one in the body of a request is the body's.
#[test]
fn a_bare_lf_is_not_waited_for() {
    assert!(parse(b"GET / HTTP/1.1\n").is_err());
    let whole = b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\n\n\n";
    let parsed = parse(whole).unwrap().unwrap();
    assert_eq!(parsed.bytes, whole.len() - 2);
}

#[test]
fn odd_first_lines_are_refused() {
    let cases = [
        ("GET / HTTP/2.0", 505),
        ("GET / HTTP/1.2", 505),
        ("GET /", 400),
        ("GET  / HTTP/1.1", 400),
        ("GET a HTTP/1.1", 400),
        ("GET /a#b HTTP/1.1", 400),
        ("OPTIONS * HTTP/1.1", 400),
        ("CONNECT h:80 HTTP/1.1", 400),
        ("GET ftp://h/ HTTP/1.1", 400),
        ("\u{16}\u{3}\u{1}", 400),
    ];
    for (line, expected) in cases {
        assert_eq!(status(&format!("{line}\nHost: h\n\n")), expected, "{line}");
    }
    assert_eq!(status("GET / HTTP/1.1\n\n"), 400);
    assert_eq!(
        status("POST / HTTP/1.0\nTransfer-Encoding: chunked\n\n"),
        400
    );
}

#[test]
fn what_never_ends_is_refused_while_it_comes() {
    assert_eq!(status(&format!("GET /{}", "a".repeat(9000))), 414);
    assert_eq!(
        status(&format!("GET /{} HTTP/1.1\n\n", "a".repeat(9000))),
        414
    );
    let many = "X: y\n".repeat(100);
    assert_eq!(status(&format!("GET / HTTP/1.1\n{many}")), 431);
    let long = "x".repeat(17_000);
    assert_eq!(status(&format!("GET / HTTP/1.1\nX: {long}")), 431);
    assert_eq!(status(&"\n".repeat(17_000)), 431);
}
