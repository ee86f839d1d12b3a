use super::*;

/// A connection, and a site that answers each request with its path.
struct Toy {
    http: Connection,
    now: Time,
    wants_body: bool,
    answers: bool,
    heard: Vec<String>,
    sent: Vec<u8>,
}

impl Toy {
    fn new() -> Self {
        Toy {
            http: Connection::new(Time::ZERO),
            now: Time::ZERO,
            wants_body: true,
            answers: true,
            heard: vec![],
            sent: vec![],
        }
    }

    /// Receives as many bytes as fit and processes all events that follow.
    fn say(&mut self, bytes: &[u8]) -> usize {
        let mut said = 0;
        loop {
            let take = self.http.room().min(bytes.len() - said);
            self.http.receive(self.now, &bytes[said..said + take]);
            said += take;
            let before = self.heard.len();
            self.work();
            if said == bytes.len() || (take == 0 && before == self.heard.len()) {
                return said;
            }
        }
    }

    fn work(&mut self) {
        self.write();
        while let Some(event) = self.http.next(self.now, self.wants_body) {
            let mut path = None;
            self.heard.push(match event {
                Event::Request(request) => {
                    path = Some(request.path.clone());
                    format!("{:?} {}", request.method, request.path)
                }
                Event::Body(bytes) => String::from_utf8_lossy(bytes).into_owned(),
                Event::BodyEnd => "end".into(),
                Event::Answered => "answered".into(),
                Event::Aborted => "aborted".into(),
            });
            if let Some(path) = path.filter(|_| self.answers) {
                self.answer(200, path.len() as u64);
            }
            self.write();
        }
        self.write();
    }

    fn answer(&mut self, status: u16, length: u64) {
        let head = Head {
            status,
            fields: vec![],
            length: Some(length),
        };
        self.http.answer(self.now, &head);
    }

    /// Writes all output, with an `x` for each byte of a body.
    fn write(&mut self) {
        let out = self.http.out().to_vec();
        let body = self.http.body_wanted().min(100) as usize;
        self.sent.extend_from_slice(&out);
        self.sent.extend(std::iter::repeat_n(b'x', body));
        self.http.on_written(self.now, out.len(), body);
    }

    fn sent(&mut self) -> String {
        String::from_utf8(std::mem::take(&mut self.sent)).unwrap()
    }
}

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: h\r\n\r\n")
}

/// Requests come out the same whether bytes arrive singly or all at once.
#[test]
fn requests_are_answered_in_order_however_they_are_cut() {
    let post = "POST /c HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc";
    let input = format!("{}{}{post}", get("/a"), get("/bb"));
    let mut whole = Toy::new();
    whole.say(input.as_bytes());
    assert_eq!(
        whole.heard[..4],
        ["Get /a", "answered", "Get /bb", "answered"]
    );
    let sent = whole.sent();
    assert_eq!(sent.matches("HTTP/1.1 200 OK\r\n").count(), 3);
    assert!(sent.contains("Content-Length: 3\r\nConnection: keep-alive\r\n\r\nxxx"));
    let mut bytes = Toy::new();
    for byte in input.as_bytes() {
        bytes.say(&[*byte]);
    }
    assert_eq!(bytes.heard[..5], whole.heard[..5]);
}

/// A request waits until the one before it is answered, and pipelined ones take bounded space.
#[test]
fn a_pipeline_waits_in_bounded_room() {
    let mut toy = Toy::new();
    toy.answers = false;
    let flood = get("/a").repeat(10_000);
    let taken = toy.say(flood.as_bytes());
    assert!(taken < 70_000 && toy.heard == ["Get /a"], "{taken}");
    toy.answer(200, 0);
    toy.work();
    assert_eq!(toy.heard, ["Get /a", "answered", "Get /a"]);
}

#[test]
fn a_head_request_is_answered_without_a_body() {
    let mut toy = Toy::new();
    toy.say(b"HEAD /abc HTTP/1.1\r\nHost: h\r\n\r\n");
    let sent = toy.sent();
    assert!(
        sent.contains("Content-Length: 4") && sent.ends_with("\r\n\r\n"),
        "{sent}"
    );
    assert_eq!(toy.heard, ["Head /abc", "answered"]);
}

#[test]
fn a_body_comes_as_the_site_can_take_it() {
    let mut toy = Toy::new();
    (toy.answers, toy.wants_body) = (false, false);
    toy.say(b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n");
    toy.say(b"3\r\nabc\r\n0\r\n\r\n");
    assert_eq!(toy.heard, ["Post /"]);
    assert!(toy.say(&[b'x'; 100_000]) < 70_000);
    toy.wants_body = true;
    toy.work();
    assert_eq!(toy.heard, ["Post /", "abc", "end"]);
}

/// A client that expects `100 Continue` gets it once, and not at all if it is refused.
#[test]
fn an_awaited_word_is_said_once() {
    let head = b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n";
    let mut toy = Toy::new();
    toy.answers = false;
    toy.say(head);
    assert_eq!(toy.sent(), "HTTP/1.1 100 Continue\r\n\r\n");
    toy.say(b"ab");
    assert_eq!(toy.sent(), "");
    let mut refused = Toy::new();
    refused.say(head);
    let sent = refused.sent();
    assert!(
        sent.starts_with("HTTP/1.1 200") && sent.contains("Connection: close"),
        "{sent}"
    );
    assert_eq!(refused.http.ending(), Ending::Lingers);
}

#[test]
fn nonsense_is_answered_once_and_ends_the_connection() {
    for nonsense in [
        "\u{16}\u{3}\u{1}\u{2}\r\n",
        "GET / HTTP/1.1\r\n\r\n",
        "SSH-2.0-x\r\n",
    ] {
        let mut toy = Toy::new();
        toy.say(nonsense.as_bytes());
        toy.say(get("/a").as_bytes());
        let sent = toy.sent();
        assert!(
            sent.starts_with("HTTP/1.1 400 ") && sent.contains("\"error\""),
            "{sent}"
        );
        assert!(toy.heard.is_empty());
        assert_eq!(toy.http.ending(), Ending::Lingers);
        toy.http.on_input_end();
        assert_eq!(toy.http.ending(), Ending::Over);
    }
}

/// Bytes after a bad chunk are never parsed as a request.
#[test]
fn a_broken_body_is_told_and_ends_the_connection() {
    let mut toy = Toy::new();
    toy.answers = false;
    toy.say(b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n");
    toy.say(get("/smuggled").as_bytes());
    assert_eq!(toy.heard, ["Post /", "aborted"]);
    assert!(toy.sent().starts_with("HTTP/1.1 400 "));
}

#[test]
fn half_a_body_is_never_whole() {
    let mut toy = Toy::new();
    toy.answers = false;
    toy.say(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nabc");
    toy.http.on_input_end();
    toy.work();
    assert_eq!(toy.heard, ["Post /", "abc", "aborted"]);
    assert_eq!(toy.http.ending(), Ending::Over);
}

/// A client that closes its sending side after the request still gets the answer.
#[test]
fn a_half_closed_connection_is_answered() {
    let mut toy = Toy::new();
    toy.answers = false;
    toy.say(get("/a").as_bytes());
    toy.http.on_input_end();
    toy.work();
    assert_eq!(toy.http.ending(), Ending::None);
    toy.answer(200, 2);
    toy.work();
    assert!(toy.sent().ends_with("close\r\n\r\nxx"));
    assert_eq!(toy.http.ending(), Ending::Over);
}

#[test]
fn an_idle_connection_ends_in_silence() {
    let mut toy = Toy::new();
    toy.say(get("/a").as_bytes());
    toy.sent();
    assert_eq!(toy.http.deadline(), Some(Time::from_secs(75)));
    toy.http.on_tick(Time::from_secs(75));
    assert_eq!(toy.http.ending(), Ending::Over);
    toy.http.on_input_end();
    assert_eq!(toy.sent(), "");
}

/// A byte now and then does not keep an incomplete head open.
#[test]
fn a_slow_head_is_given_up() {
    let mut toy = Toy::new();
    for (second, byte) in get("/a").bytes().take(11).enumerate() {
        toy.now = Time::from_secs(second as u64);
        toy.http.on_tick(toy.now);
        toy.say(&[byte]);
    }
    assert!(toy.sent().starts_with("HTTP/1.1 408 "));
    assert_eq!(toy.http.ending(), Ending::Lingers);
}

#[test]
fn a_listener_may_pause_but_not_for_ever() {
    let mut toy = Toy::new();
    toy.answers = false;
    toy.say(get("/a").as_bytes());
    assert_eq!(toy.http.deadline(), None);
    toy.answer(200, 1000);
    toy.write();
    toy.http.on_blocked(toy.now);
    toy.http.on_tick(Time::from_secs(599));
    assert_eq!(toy.http.ending(), Ending::None);
    toy.http.on_tick(Time::from_secs(600));
    toy.work();
    assert_eq!(toy.heard.last().map(String::as_str), Some("aborted"));
    assert_eq!(toy.http.ending(), Ending::Over);
}

/// Only a peer that has the next move can stall.
#[test]
fn a_stall_begins_when_the_peer_stops() {
    let mut toy = Toy::new();
    toy.answers = false;
    toy.say(get("/a").as_bytes());
    assert_eq!(toy.http.stalled_since(), None);
    toy.answer(200, 1000);
    toy.write();
    toy.http.on_all_taken();
    toy.http.on_blocked(Time::from_secs(3));
    toy.http.on_blocked(Time::from_secs(5));
    assert_eq!(toy.http.stalled_since(), Some(Time::from_secs(3)));
    toy.http.on_written(Time::from_secs(6), 0, 100);
    assert_eq!(toy.http.stalled_since(), None);
}

/// A byte now and then is no progress, in either direction.
#[test]
fn a_trickle_is_a_stall() {
    let mut toy = Toy::new();
    toy.answers = false;
    toy.say(get("/a").as_bytes());
    toy.answer(200, 1_000_000);
    toy.write();
    for second in 1..600 {
        toy.http.on_written(Time::from_secs(second), 0, 1);
        toy.http.on_blocked(Time::from_secs(second));
        toy.http.on_tick(Time::from_secs(second));
    }
    assert_eq!(toy.http.stalled_since(), Some(Time::ZERO));
    assert_eq!(toy.http.ending(), Ending::None);
    toy.http.on_tick(Time::from_secs(600));
    assert_eq!(toy.http.ending(), Ending::Over);

    let mut toy = Toy::new();
    toy.answers = false;
    toy.say(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 90000\r\n\r\n");
    for second in 1..30 {
        toy.now = Time::from_secs(second);
        toy.say(b"a");
        toy.http.on_tick(toy.now);
    }
    assert_eq!(toy.sent(), "");
    toy.http.on_tick(Time::from_secs(30));
    assert!(toy.sent().is_empty() && toy.http.out().starts_with(b"HTTP/1.1 408 "));
}

/// An upload that the site could not take for a minute is not too slow.
#[test]
fn a_peer_is_not_to_blame_for_a_slow_site() {
    let mut toy = Toy::new();
    (toy.answers, toy.wants_body) = (false, false);
    toy.say(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 90000\r\n\r\na");
    (toy.now, toy.wants_body) = (Time::from_secs(60), true);
    toy.work();
    toy.http.on_tick(toy.now);
    assert_eq!(toy.http.ending(), Ending::None);
    assert_eq!(toy.http.stalled_since(), Some(toy.now));
}

#[test]
fn an_upload_that_does_not_come_is_a_stall() {
    let mut toy = Toy::new();
    toy.answers = false;
    toy.now = Time::from_secs(2);
    toy.say(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\na");
    assert_eq!(toy.http.stalled_since(), Some(Time::from_secs(2)));
    toy.say(b"b");
    assert_eq!(toy.http.stalled_since(), None);
}

#[test]
fn a_field_never_ends_its_line_early() {
    let mut toy = Toy::new();
    toy.answers = false;
    toy.say(get("/a").as_bytes());
    let head = Head {
        status: 200,
        fields: vec![("X", "a\r\nSet-Cookie: b".into())],
        length: None,
    };
    toy.http.answer(toy.now, &head);
    toy.http.end_body();
    toy.work();
    let sent = toy.sent();
    assert!(
        sent.contains("X: a  Set-Cookie: b\r\nConnection: close\r\n"),
        "{sent}"
    );
}
