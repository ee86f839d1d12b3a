//! The web player as browsers and programs see it, with real nodes behind it.

pub(crate) mod http;
mod slow;

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use super::lab::{Lab, PATIENCE, Server};
use super::sound;
use http::{ask, connect, dialled, get, read, read_head, read_one, upload, web};

/// Writes a song of so many seconds, 176 kB each, and gives its bytes.
fn wav(lab: &Lab, name: &str, seconds: u32) -> Vec<u8> {
    let path = lab.dir.join(name);
    sound::wav(&path, seconds, 330.0);
    fs::read(path).expect("just written")
}

fn id_of(reply: &http::Reply) -> String {
    let object = reply.json();
    let id = object["id"].as_str().unwrap_or_else(|| panic!("{object}"));
    id.to_owned()
}

/// An uploaded song comes back, in one piece and in any range.
#[test]
fn a_song_goes_up_and_comes_down() {
    let mut lab = Lab::new("web");
    let _cluster = lab.cluster(1, 2);
    let (_web, at) = web(&lab, &[]);
    let song = wav(&lab, "x.wav", 12);
    let first = upload(&at, "dir%2FMy%20s%C3%B6ng.wav", &song);
    assert_eq!(first.status, 201, "{}", first.head);
    let object = first.json();
    assert_eq!(
        (&object["outcome"], &object["title"]),
        (&"added".into(), &"My söng".into())
    );
    assert!(object["copies"].as_u64() >= Some(2), "{object}");
    let id = id_of(&first);
    assert_eq!(upload(&at, "other.wav", &song).json()["outcome"], "known");

    let path = format!("/stream/{id}");
    let whole = get(&at, &path);
    assert_eq!(
        (whole.status, whole.field("Content-Type")),
        (200, Some("audio/wav"))
    );
    assert!(whole.body == song);
    let tag = whole.field("ETag").expect("a tag").to_owned();
    let length = song.len();
    let cases = [
        ("0-0", 0, 1),
        ("0-", 0, length),
        ("-1000", length - 1000, length),
        ("999999-1000001", 999_999, 1_000_002),
        ("1000000-99999999999", 1_000_000, length),
    ];
    for (range, first, end) in cases {
        let field = format!("Range: bytes={range}");
        let part = ask(&at, &format!("GET {path}"), &[&field], b"");
        assert_eq!(part.status, 206, "{range}");
        assert!(part.body == song[first..end], "{range}");
        let said = format!("bytes {first}-{}/{length}", end - 1);
        assert_eq!(part.field("Content-Range"), Some(&*said));
    }
    let answer = |fields: &[&str]| {
        let reply = ask(&at, &format!("GET {path}"), fields, b"");
        (reply.status, reply.body.len())
    };
    assert_eq!(answer(&["Range: bytes=0-1,5-6"]), (200, length));
    assert_eq!(answer(&["Range: bytes=x"]), (200, length));
    assert_eq!(answer(&[&format!("Range: bytes={length}-")]), (416, 0));
    assert_eq!(
        answer(&["Range: bytes=1-2", &format!("If-Range: {tag}")]),
        (206, 2)
    );
    assert_eq!(
        answer(&["Range: bytes=1-2", "If-Range: \"x\""]),
        (200, length)
    );
    assert_eq!(answer(&[&format!("If-None-Match: {tag}")]), (304, 0));
    let head = ask(&at, &format!("HEAD {path}"), &[], b"");
    assert_eq!((head.status, head.body.len()), (200, 0));
    assert_eq!(head.field("Content-Length"), Some(&*length.to_string()));

    let file = get(&at, &format!("/download/{id}"));
    let named = file.field("Content-Disposition").expect("a name");
    assert!(
        named.ends_with("filename*=UTF-8''My%20s%C3%B6ng.wav"),
        "{named}"
    );
    assert!(file.body == song);
    assert_eq!(get(&at, &format!("/cover/{id}")).status, 404);
}

/// A range of a few bytes costs a data node the group of 64 KiB that they lie in, not a fragment of a
/// million bytes; heard again, it costs nothing there, because the page has kept it.
#[test]
fn a_range_costs_what_it_has() {
    let mut lab = Lab::new("ranges");
    let (_names, nodes) = lab.cluster(1, 1);
    let data = nodes.last().expect("a data node");
    let (_web, at) = web(&lab, &[]);
    let song = wav(&lab, "x.wav", 30);
    let path = format!("/stream/{}", id_of(&upload(&at, "x.wav", &song)));
    let hear = |first: usize| {
        let field = format!("Range: bytes={first}-{}", first + 999);
        let part = ask(&at, &format!("GET {path}"), &[&field], b"");
        assert!(
            part.status == 206 && part.body == song[first..first + 1000],
            "{first}"
        );
    };
    // The song's manifest is known from here on.
    hear(100);
    let places = [1_300_000, 2_400_000, 3_500_000, 4_600_000];
    let before = bytes_read(data);
    places.into_iter().for_each(hear);
    let (once, before) = (bytes_read(data) - before, bytes_read(data));
    assert!(once < 1_200_000, "{once} bytes read");
    // The page keeps a part after its answer: the last one may still be on its way to the disk.
    places[..3].iter().copied().for_each(hear);
    let again = bytes_read(data) - before;
    assert!(again < 60_000, "{again} bytes read");
}

/// The bytes that the system calls of a process have read so far.
fn bytes_read(server: &Server) -> u64 {
    let counts = fs::read_to_string(format!("/proc/{}/io", server.pid())).expect("our child");
    let count = counts.lines().find_map(|line| line.strip_prefix("rchar: "));
    count
        .and_then(|count| count.parse().ok())
        .expect("a number")
}

/// Uploads with chunked bodies, with bodies that wait for `100 Continue`, and with bodies that are
/// no song.
#[test]
fn uploads_come_in_any_shape() {
    let mut lab = Lab::new("shapes");
    let _cluster = lab.cluster(1, 1);
    let (web, at) = web(&lab, &[]);
    let song = wav(&lab, "x.wav", 5);
    let mut stream = connect(&at);
    let head = format!(
        "POST /api/songs HTTP/1.1\r\nHost: {at}\r\nTransfer-Encoding: chunked\r\n\
         Expect: 100-continue\r\nX-Filename: a.wav\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).expect("it listens");
    assert_eq!(read_head(&mut stream), "HTTP/1.1 100 Continue\r\n\r\n");
    for chunk in song.chunks(70_001) {
        write!(stream, "{:x}\r\n", chunk.len()).expect("it listens");
        stream.write_all(chunk).expect("it listens");
        stream.write_all(b"\r\n").expect("it listens");
    }
    stream.write_all(b"0\r\n\r\n").expect("it listens");
    let added = read_one(&mut stream);
    assert_eq!(added.status, 201, "{}", added.head);
    // The connection stays open, so the song is fetched on it.
    let id = id_of(&added);
    write!(stream, "GET /stream/{id} HTTP/1.1\r\nHost: {at}\r\n\r\n").expect("it listens");
    assert!(read_one(&mut stream).body == song);

    assert_eq!(upload(&at, "empty.mp3", b"").status, 400);
    let empty = ask(
        &at,
        "POST /api/songs",
        &["Transfer-Encoding: chunked"],
        b"0\r\n\r\n",
    );
    assert_eq!(
        (empty.status, &empty.json()["error"]),
        (400, &"the file is empty".into())
    );
    assert_eq!(upload(&at, "%zz", &song).status, 400);
    let huge = ask(
        &at,
        "POST /api/songs",
        &["Content-Length: 5000000000"],
        b"x",
    );
    assert_eq!(huge.status, 413);
    // Half a file is refused, and nothing of it is kept.
    let mut half = connect(&at);
    let head = format!("POST /api/songs HTTP/1.1\r\nHost: {at}\r\nContent-Length: 100\r\n\r\nhalf");
    half.write_all(head.as_bytes()).expect("it listens");
    drop(half);
    let spool = lab
        .dir
        .join("cache/dispotify")
        .join(format!("upload-{}", web.pid()));
    let waiting = || fs::read_dir(&spool).map_or(0, Iterator::count);
    let begun = std::time::Instant::now();
    while waiting() > 0 {
        assert!(
            begun.elapsed() < PATIENCE,
            "files stay in {}",
            spool.display()
        );
    }
    assert_eq!(get(&at, "/api/songs").json()["total"], 1);
    web.signal("TERM");
    let mut web = web;
    assert!(web.wait().success());
    assert!(!spool.exists());
    assert!(!lab.read_log().contains("ERROR"), "{}", lab.read_log());
}

/// The library as JSON has the field names of the command line, page after page.
#[test]
fn the_library_is_told_as_json() {
    let mut lab = Lab::new("json");
    let _cluster = lab.cluster(1, 2);
    let (_web, at) = web(&lab, &[]);
    for n in 0..5 {
        sound::noise(&lab.dir.join("noise"), 10_000 + n, n as u64 + 1);
        let bytes = fs::read(lab.dir.join("noise")).expect("just written");
        assert_eq!(upload(&at, &format!("song%20{n}.bin"), &bytes).status, 201);
    }
    lab.await_copies(5);
    let page = |query: &str| get(&at, &format!("/api/songs?{query}")).json();
    let titles = |page: &serde_json::Value| -> Vec<String> {
        let songs = page["songs"].as_array().expect("songs");
        songs
            .iter()
            .map(|s| s["title"].as_str().expect("text").to_owned())
            .collect()
    };
    let mut all = vec![];
    let mut next = String::new();
    loop {
        let found = page(&format!("sort=title&limit=2{next}"));
        assert_eq!(found["total"], 5);
        all.extend(titles(&found));
        match found["next"].as_str() {
            Some(cursor) => next = format!("&after={cursor}"),
            None => break,
        }
    }
    assert_eq!(all, ["song 0", "song 1", "song 2", "song 3", "song 4"]);
    assert_eq!(titles(&page("q=song+3")), ["song 3"]);
    assert_eq!(titles(&page("sort=title&desc=1&limit=1")), ["song 4"]);
    for wrong in ["sort=size", "limit=0", "limit=x", "after=xyz", "q=%zz"] {
        let reply = get(&at, &format!("/api/songs?{wrong}"));
        assert!(
            reply.status == 400 && reply.json()["error"].is_string(),
            "{wrong}"
        );
    }
    let listed = page("q=song+1")["songs"][0].clone();
    assert_eq!(listed, lab.json(&["search", "song 1"])[0]);
    let id = listed["id"].as_str().expect("an id").to_owned();
    let details = get(&at, &format!("/api/songs/{id}")).json();
    assert_eq!(
        details["holders"].as_array().map(Vec::len),
        Some(2),
        "{details}"
    );
    assert_eq!(details["offsets"], serde_json::json!([0, 10_001]));
    assert_eq!(details["starts_ms"], serde_json::json!([0]));
    assert_eq!(details["cached"], serde_json::json!([]));
    // The song is in the cache by now: its holders are listed all the same.
    assert_eq!(get(&at, &format!("/stream/{id}")).body.len(), 10_001);
    let again = get(&at, &format!("/api/songs/{id}")).json();
    assert_eq!(
        again["holders"].as_array().map(Vec::len),
        Some(2),
        "{again}"
    );
    assert_eq!(again["cached"], serde_json::json!([[0, 1]]));
    let status = get(&at, "/api/status").json();
    let told = &lab.json(&["status"])[0];
    let names = |value: &serde_json::Value| -> Vec<String> {
        value
            .as_object()
            .expect("an object")
            .keys()
            .cloned()
            .collect()
    };
    // What is in the trash has a page of its own, `/api/trash`; for doubts each node is asked, which a
    // page that is looked at every second leaves to `/metrics`.
    let mut told_names = names(told);
    told_names.retain(|name| !name.starts_with("trash_") && name != "doubts");
    assert_eq!(names(&status), told_names);
    assert_eq!(names(&status["nodes"][0]), names(&told["nodes"][0]));
}

/// Requests for other hosts, from other origins or without sense are refused.
#[test]
fn strangers_and_nonsense_are_refused() {
    let mut lab = Lab::new("guard");
    let _cluster = lab.cluster(1, 1);
    let (_web, at) = web(&lab, &["--allow-host", "Music.Example"]);
    let status = |line: &str, fields: &[&str]| ask(&at, line, fields, b"").status;
    for host in ["localhost", "127.0.0.1:9", "[::1]:1", "music.example:80"] {
        assert_eq!(status("GET /", &[&format!("Host: {host}")]), 200, "{host}");
    }
    for host in ["evil.example", "localhost.evil.example:8080"] {
        assert_eq!(
            status("GET /api/songs", &[&format!("Host: {host}")]),
            421,
            "{host}"
        );
    }
    let foreign = [
        "Origin: http://evil.example",
        "Origin: null",
        "Sec-Fetch-Site: cross-site",
        "Sec-Fetch-Site: same-site",
    ];
    for field in foreign {
        let fields = [field, "Content-Length: 1"];
        assert_eq!(
            ask(&at, "POST /api/songs", &fields, b"x").status,
            403,
            "{field}"
        );
    }
    let unknown = "0".repeat(32);
    for (line, expected) in [
        (format!("GET /stream/{unknown}"), 404),
        (format!("GET /cover/{unknown}"), 404),
        (format!("GET /api/songs/{unknown}"), 404),
        ("GET /stream/abc".into(), 404),
        ("GET /../../etc/passwd".into(), 404),
        ("GET /%2e%2e/%2e%2e/etc/passwd".into(), 404),
        ("GET /%".into(), 404),
        ("GET /page/index.html".into(), 404),
        ("PUT /api/songs".into(), 405),
        (format!("DELETE /stream/{unknown}"), 405),
        ("POST /".into(), 405),
    ] {
        assert_eq!(status(&line, &[]), expected, "{line}");
    }
    assert_eq!(
        ask(&at, "PUT /api/songs", &[], b"").field("Allow"),
        Some("GET, HEAD, POST")
    );
    let page = get(&at, "/");
    let policy = page.field("Content-Security-Policy").expect("a policy");
    assert!(
        policy.contains("frame-ancestors 'none'") && !policy.contains("unsafe"),
        "{policy}"
    );
    assert_eq!(page.field("X-Content-Type-Options"), Some("nosniff"));
    let tag = page.field("ETag").expect("a tag");
    assert_eq!(status("GET /", &[&format!("If-None-Match: {tag}")]), 304);
    for nonsense in [
        &b"\x16\x03\x01\r\n\r\n"[..],
        b"GET / HTTP/1.1\r\n\r\n",
        b"\r\n\r\nx\r\n",
    ] {
        let mut stream = connect(&at);
        stream.write_all(nonsense).expect("it listens");
        assert_eq!(read(&mut stream).status, 400);
    }
    assert_eq!(status("GET /api/songs", &[]), 200);
}

/// Many requests at once on one connection are answered in order, although the song that they ask
/// for was stored only a moment ago.
#[test]
fn requests_are_answered_in_order() {
    let mut lab = Lab::new("order");
    let _cluster = lab.cluster(1, 1);
    let (_web, at) = web(&lab, &[]);
    let id = id_of(&upload(&at, "x.wav", &wav(&lab, "x.wav", 3)));
    let mut stream = connect(&at);
    let lines: String = (0..50)
        .map(|n| format!("GET /stream/{id} HTTP/1.1\r\nHost: {at}\r\nRange: bytes={n}-{n}\r\n\r\n"))
        .collect();
    stream.write_all(lines.as_bytes()).expect("it listens");
    for n in 0..50 {
        let said = format!("bytes {n}-{n}/");
        let reply = read_one(&mut stream);
        let part = reply.field("Content-Range");
        assert!(
            part.is_some_and(|f| f.starts_with(&said)),
            "{n}: {}",
            reply.head
        );
    }
}

/// A 30 MB song with three copies, and its id.
fn big_song(lab: &Lab, at: &str) -> (Vec<u8>, String) {
    let song = wav(lab, "big.wav", 170);
    let id = id_of(&upload(at, "big.wav", &song));
    lab.await_copies(1);
    (song, id)
}

/// Begins to read a stream: its socket, and the first bytes of the song.
fn begin(at: &str, id: &str) -> (std::net::TcpStream, Vec<u8>) {
    let mut stream = connect(at);
    let text = format!("GET /stream/{id} HTTP/1.1\r\nHost: {at}\r\nConnection: close\r\n\r\n");
    stream.write_all(text.as_bytes()).expect("it listens");
    let head = read_head(&mut stream);
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    let mut bytes = vec![0; 100_000];
    stream.read_exact(&mut bytes).expect("the beginning");
    (stream, bytes)
}

/// A stream continues byte for byte when holders die, and the page is told of it.
#[test]
fn a_stream_survives_the_death_of_its_holders() {
    let mut lab = Lab::new("survive");
    let (_names, mut data) = lab.cluster(2, 3);
    let (_web, at) = web(&lab, &[]);
    let (song, id) = big_song(&lab, &at);
    let mut events = Events::listen(&at);
    events.next("status", |status| status["songs"] == 1);
    let (mut stream, mut bytes) = begin(&at, &id);
    let dead: Vec<String> = data[..2].iter().map(|node| node.address.clone()).collect();
    data[0].kill();
    data[1].kill();
    stream.read_to_end(&mut bytes).expect("the rest");
    assert!(bytes == song);
    events.next("status", |status| {
        let nodes = status["nodes"].as_array().cloned().unwrap_or_default();
        let lives = |at: &String| {
            nodes
                .iter()
                .any(|n| n["address"] == **at && n["state"] == "alive")
        };
        !dead.iter().any(lives)
    });
    // The next listener is told which holders are missing, although nothing is fetched.
    assert!(get(&at, &format!("/stream/{id}")).body == song);
    let last = song.len().div_ceil(1_000_000) as u64;
    let told = events.next("fragment", |f| {
        f["index"].as_u64() >= Some(last - 3) && f["from"] == "cache"
    });
    assert_eq!(told["song"], *id);
    let lost: Vec<String> = serde_json::from_value(told["lost"].clone()).expect("names");
    let mut dead = dead;
    dead.sort();
    assert_eq!(lost, dead);
}

/// A cached song plays while every server is dead.
#[test]
fn a_cached_song_plays_with_every_server_dead() {
    let mut lab = Lab::new("alone");
    let (mut names, mut data) = lab.cluster(1, 1);
    let (_web, at) = web(&lab, &[]);
    let song = wav(&lab, "x.wav", 12);
    let id = id_of(&upload(&at, "x.wav", &song));
    let path = format!("/stream/{id}");
    lab.await_status("the router has heard of it", |status| status["songs"] == 1);
    assert!(get(&at, &path).body == song);
    names.iter_mut().chain(&mut data).for_each(Server::kill);
    assert!(get(&at, &path).body == song);
    let part = ask(&at, &format!("GET {path}"), &["Range: bytes=1500000-"], b"");
    assert!(part.body == song[1_500_000..]);
    let other = get(&at, &format!("/stream/{}", "0".repeat(32)));
    assert!(
        other.status == 502 && other.json()["error"].is_string(),
        "{}",
        other.head
    );
    assert!(lab.ok(&["play", &id, "--stdout"]) == song);
}

/// No fragments are fetched for a listener that has disconnected.
#[test]
fn an_aborted_stream_stops_fetching() {
    let mut lab = Lab::new("abort");
    let _cluster = lab.cluster(1, 1);
    let (_web, at) = web(&lab, &[]);
    let (song, id) = big_song(&lab, &at);
    let (stream, _) = begin(&at, &id);
    drop(stream);
    // The client works in order: when this later song is there, an earlier fetch would be, too.
    let other = id_of(&upload(&at, "other.wav", &wav(&lab, "other.wav", 20)));
    get(&at, &format!("/stream/{other}"));
    let cached = lab
        .dir
        .join("cache/dispotify/songs")
        .join(&id[..2])
        .join(&id);
    let cached = fs::read_dir(cached).expect("a cache").count();
    let fragments = song.len() / 1_000_000;
    assert!(cached < fragments / 2, "{cached} of {fragments}");
    assert!(!lab.read_log().contains("ERROR"), "{}", lab.read_log());
}

/// The client has room for a thousand operations: those of listeners that disconnected do not
/// count.
#[test]
fn aborted_streams_leave_no_operation_behind() {
    let mut lab = Lab::new("operations");
    let _cluster = lab.cluster(1, 1);
    let (_web, at) = web(&lab, &[]);
    let song = wav(&lab, "x.wav", 12);
    let id = id_of(&upload(&at, "x.wav", &song));
    let path = format!("/stream/{id}");
    for _ in 0..1100 {
        drop(begin(&at, &id));
    }
    assert!(get(&at, &path).body == song);
}

/// Two hundred listeners that take no bytes leave room for one that does.
#[test]
fn two_hundred_paused_streams_are_small() {
    let mut lab = Lab::new("many");
    let _cluster = lab.cluster(1, 1);
    let (web, at) = web(&lab, &[]);
    let (song, id) = big_song(&lab, &at);
    get(&at, "/api/songs");
    let before = web.resident_kb();
    let text = format!("GET /stream/{id} HTTP/1.1\r\nHost: {at}\r\n\r\n");
    let mut streams: Vec<_> = (0..200).map(|_| connect(&at)).collect();
    for stream in &mut streams {
        stream.write_all(text.as_bytes()).expect("it listens");
    }
    for stream in &mut streams {
        let head = read_head(stream);
        assert!(head.starts_with("HTTP/1.1 200"), "{head}");
        stream.read_exact(&mut [0; 1000]).expect("the beginning");
    }
    assert!(get(&at, &format!("/stream/{id}")).body == song);
    let grown = web.resident_kb().saturating_sub(before);
    assert!(grown < 32 * 1024, "{grown} kB");
    // A stream that was let go during its pause still delivers the rest.
    let mut bytes = vec![0; song.len() - 1000];
    streams[0].read_exact(&mut bytes).expect("the rest");
    assert!(bytes == song[1000..]);
}

/// curl and ffprobe can read the player's streams.
#[test]
fn curl_and_ffprobe_understand_it() {
    let mut lab = Lab::new("tools");
    let _cluster = lab.cluster(1, 1);
    let (_web, at) = web(&lab, &[]);
    let song = wav(&lab, "x.wav", 12);
    let file = lab.dir.join("x.wav");
    let url = |path: &str| format!("http://{at}{path}");
    let curl = Command::new("curl")
        .args(["-s", "-f", "-H", "X-Filename: x.wav", "-T"])
        .arg(&file)
        .args(["-X", "POST", &url("/api/songs")])
        .output();
    let Ok(curl) = curl else {
        return sound::skipped("curl is not installed");
    };
    assert!(curl.status.success(), "{curl:?}");
    let added: serde_json::Value = serde_json::from_slice(&curl.stdout).expect("JSON");
    let id = added["id"].as_str().expect("an id");
    let mut part = Command::new("curl");
    part.args([
        "-s",
        "-f",
        "-r",
        "1000-1999",
        &url(&format!("/stream/{id}")),
    ]);
    let part = part.output().expect("curl runs");
    assert!(part.stdout == song[1000..2000]);
    let probe = Command::new("ffprobe")
        .args([
            "-v",
            "error",
            "-show_entries",
            "format=duration",
            "-of",
            "csv=p=0",
        ])
        .arg(url(&format!("/stream/{id}")))
        .output();
    match probe {
        Ok(probe) => {
            let said = String::from_utf8_lossy(&probe.stdout).into_owned();
            let seconds: f64 = said.trim().parse().unwrap_or(0.0);
            assert!((seconds - 12.0).abs() < 0.1, "{probe:?}");
        }
        Err(_) => sound::skipped("ffprobe is not installed"),
    }
}

/// `serve` also serves the page.
#[test]
fn serve_has_the_page() {
    let mut lab = Lab::new("page");
    wav(&lab, "tone.wav", 3);
    let mut command = lab.command(&["serve", "--port", "0", "--web", "127.0.0.1:0"]);
    command.arg(lab.dir.join("tone.wav"));
    let mut child = command.stdout(Stdio::piped()).spawn().expect("it starts");
    let out = child.stdout.take().expect("it is piped");
    let mut lines = BufReader::new(out).lines().map_while(Result::ok);
    let page = lines.find_map(|line| Some(line.strip_prefix("web      http://")?.to_owned()));
    let at = page
        .expect("it says where")
        .trim_end_matches('/')
        .to_owned();
    let dns = lines.find_map(|line| Some(line.strip_prefix("ready dns ")?.to_owned()));
    let dns = dns
        .expect("it says where")
        .split(' ')
        .next()
        .expect("an address")
        .to_owned();
    std::thread::spawn(move || lines.for_each(drop));
    lab.use_dns(&dns);
    lab.await_status("the song is there", |status| status["songs"] == 1);
    assert_eq!(get(&at, "/api/songs").json()["total"], 1);
    child.kill().expect("our child");
    child.wait().expect("our child");
}

/// One command runs six nodes: the nodes, their songs and the page live and end with it.
#[test]
fn a_demo_survives_a_death_and_takes_everything_with_it() {
    let lab = Lab::new("demo");
    let song = wav(&lab, "tone.wav", 30);
    let mut command = lab.command(&["demo", "--port", "0", "--web", "127.0.0.1:0"]);
    command
        .arg(lab.dir.join("tone.wav"))
        .env("TMPDIR", &lab.dir);
    let mut demo = lab.spawn_when(command, "ready web ");
    let at = dialled(&demo);
    let songs = get(&at, "/api/songs").json();
    assert_eq!(songs["total"], 1, "the page answers once the songs stand");
    let id = songs["songs"][0]["id"].as_str().expect("an id").to_owned();
    let nodes = get(&at, "/api/status").json()["nodes"]
        .as_array()
        .map_or(0, Vec::len);
    assert_eq!(nodes, 6);
    let children = children_of(demo.pid());
    assert_eq!(children.len(), 6, "{children:?}");
    let (mut stream, mut bytes) = begin(&at, &id);
    let data = children
        .iter()
        .rev()
        .find(|(_, line)| line.contains("node data"));
    let (pid, _) = data.expect("a data node");
    let kill = Command::new("kill").args(["-9", &pid.to_string()]).status();
    assert!(kill.expect("kill runs").success());
    stream.read_to_end(&mut bytes).expect("the rest");
    assert!(bytes == song);
    demo.kill();
    for (pid, line) in children {
        await_end(pid, &line);
    }
}

/// After Ctrl-C no process and no folder is left.
#[test]
fn an_interrupted_demo_leaves_nothing_behind() {
    let lab = Lab::new("leave");
    wav(&lab, "tone.wav", 1);
    let tmp = lab.dir.join("tmp");
    fs::create_dir(&tmp).expect("a folder");
    let mut command = lab.command(&["demo", "--port", "0", "--web", "127.0.0.1:0"]);
    command.arg(lab.dir.join("tone.wav")).env("TMPDIR", &tmp);
    let mut demo = lab.spawn_when(command, "ready web ");
    let children = children_of(demo.pid());
    demo.signal("INT");
    assert!(demo.wait().success());
    for (pid, line) in children {
        await_end(pid, &line);
    }
    assert_eq!(fs::read_dir(&tmp).expect("the folder").count(), 0);
}

/// Process ids and command lines of a process's children.
fn children_of(parent: u32) -> Vec<(u32, String)> {
    let numbers = fs::read_dir("/proc").expect("Linux").flatten();
    let numbers = numbers.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let mut children: Vec<(u32, String)> = numbers
        .filter_map(|pid: u32| {
            let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
            let (_, rest) = stat.rsplit_once(") ")?;
            let theirs: u32 = rest.split(' ').nth(1)?.parse().ok()?;
            let line = fs::read_to_string(format!("/proc/{pid}/cmdline")).ok()?;
            (theirs == parent).then(|| (pid, line.replace('\0', " ")))
        })
        .collect();
    children.sort_unstable();
    children
}

/// Waits until a process is gone, or is a zombie.
fn await_end(pid: u32, line: &str) {
    let begun = std::time::Instant::now();
    let lives = || {
        let stat = fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("stat"));
        stat.is_ok_and(|stat| !stat.contains(") Z "))
    };
    while lives() {
        assert!(begun.elapsed() < PATIENCE, "still there: {line}");
    }
}

/// The events that a page receives.
struct Events {
    lines: Box<dyn Iterator<Item = String> + Send>,
}

impl Events {
    fn listen(at: &str) -> Self {
        let mut stream = connect(at);
        let text = format!("GET /api/events HTTP/1.1\r\nHost: {at}\r\n\r\n");
        stream.write_all(text.as_bytes()).expect("it listens");
        assert!(read_head(&mut stream).contains("text/event-stream"));
        let lines = BufReader::new(stream).lines().map_while(Result::ok);
        Events {
            lines: Box::new(lines),
        }
    }

    /// Waits for an event with this name that is `good`.
    fn next(&mut self, name: &str, good: impl Fn(&serde_json::Value) -> bool) -> serde_json::Value {
        let wanted = format!("event: {name}");
        let mut named = false;
        for line in &mut self.lines {
            if let Some(data) = line.strip_prefix("data: ").filter(|_| named) {
                let value = serde_json::from_str(data).expect("JSON");
                if good(&value) {
                    return value;
                }
            }
            named = line == wanted;
        }
        panic!("no such event: {name}");
    }
}
