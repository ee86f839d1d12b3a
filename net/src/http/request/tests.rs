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

/// Each of these is read differently by some server: none is heard.
#[test]
fn smuggled_requests_are_refused() {
    let cases = [
        ("Content-Length: 1\nTransfer-Encoding: chunked", 400),
        ("Content-Length: 1\nContent-Length: 1", 400),
        ("Content-Length: 1, 1", 400),
        ("Content-Length: +1", 400),
        ("Content-Length: -1", 400),
        ("Content-Length: 0x1", 400),
        ("Content-Length: ", 400),
        ("Content-Length: 99999999999999999999", 400),
        ("Content-Length : 1", 400),
        (
            "Transfer-Encoding: chunked\nTransfer-Encoding: chunked",
            400,
        ),
        ("Transfer-Encoding: chunked, chunked", 501),
        ("Transfer-Encoding: gzip, chunked", 501),
        ("Transfer-Encoding: identity", 501),
        ("Transfer-Encoding: \u{b}chunked", 400),
        ("Transfer-Encoding: x\n chunked", 400),
        ("X: a\n b", 400),
        ("X\u{0}: a", 400),
        ("X: a\u{0}b", 400),
        ("X: a\rb", 400),
        ("Host: other", 400),
        (": x", 400),
        ("no colon", 400),
        ("Expect: 200-ok", 417),
    ];
    for (line, expected) in cases {
        let head = format!("POST / HTTP/1.1\nHost: h\n{line}\n\n");
        assert_eq!(status(&head), expected, "{line:?}");
    }
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
