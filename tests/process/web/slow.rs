//! Browsers that read or send slowly, or not at all: they cost nobody memory, and lock nobody out.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use crate::lab::{Lab, Server};
use crate::sound;

use super::http::{connect, get, read, read_head, upload};
use super::wav;

/// Most memory that `serve` may take in any of these attacks, in kB. The debug build has larger code.
const MEMORY_KB_MAX: u64 = if cfg!(debug_assertions) { 48 } else { 32 } * 1024;

fn check_memory(serve: &Server, attack: &str) {
    let peak = serve.peak_kb();
    sound::told(&format!(
        "{attack}: peak {peak} kB, at the end {} kB",
        serve.resident_kb()
    ));
    assert!(peak < MEMORY_KB_MAX, "{attack}: {peak} kB");
}

/// Adds a song with a cover of so many bytes; gives the path of the cover, and the cover.
fn song_with_cover(lab: &Lab, bytes: usize) -> (String, Vec<u8>) {
    let file = lab.dir.join("cover.mp3");
    let cover = sound::mp3_with_cover(&file, bytes, 1);
    let added = lab.json(&["add", file.to_str().expect("a path")]);
    let id = added[0]["id"].as_str().expect("an id");
    lab.await_status("the song is there", |status| status["songs"] == 1);
    (format!("/cover/{id}"), cover)
}

/// Asks on connections of their own, and reads nothing but the beginning of each answer.
fn slow_readers(at: &str, path: &str, count: usize) -> Vec<TcpStream> {
    let text = format!("GET {path} HTTP/1.1\r\nHost: {at}\r\n\r\n");
    let mut readers: Vec<TcpStream> = (0..count).map(|_| connect(at)).collect();
    for reader in &mut readers {
        reader.write_all(text.as_bytes()).expect("it listens");
    }
    for reader in &mut readers {
        let head = read_head(reader);
        assert!(head.starts_with("HTTP/1.1 200"), "{head}");
        reader.read_exact(&mut [0; 1000]).expect("the beginning");
    }
    readers
}

fn attack_cover(name: &str, bytes: usize) {
    let mut lab = Lab::new(name);
    let (serve, at) = lab.serve();
    let (path, cover) = song_with_cover(&lab, bytes);
    let mut readers = slow_readers(&at, &path, 250);
    assert!(
        get(&at, &path).body == cover,
        "one who reads has it meanwhile"
    );
    check_memory(
        &serve,
        &format!("250 slow readers of a cover of {bytes} bytes"),
    );
    let mut rest = vec![0; cover.len() - 1000];
    readers[0].read_exact(&mut rest).expect("the rest");
    assert!(rest == cover[1000..], "a slow reader has it in the end");
}

#[test]
fn slow_readers_of_a_cover_share_it() {
    attack_cover("cover8", 8 << 20);
}

#[test]
fn slow_readers_of_the_largest_cover_share_it() {
    attack_cover("cover31", 31 << 20);
}

/// More paused listeners than there are places: a newcomer is served at once.
#[test]
fn paused_listeners_lock_nobody_out() {
    let mut lab = Lab::new("paused");
    let (serve, at) = lab.serve();
    let song = wav(&lab, "x.wav", 60);
    let added = lab.json(&["add", lab.dir.join("x.wav").to_str().expect("a path")]);
    let path = format!("/stream/{}", added[0]["id"].as_str().expect("an id"));
    lab.await_status("the song is there", |status| status["songs"] == 1);
    let readers = slow_readers(&at, &path, 256);
    assert!(get(&at, &path).body == song);
    assert_eq!(get(&at, "/").status, 200);
    check_memory(&serve, "256 paused listeners");
    drop(readers);
}

/// More paused listeners than the process may open files: the oldest pause makes room.
#[test]
fn descriptors_do_not_run_out() {
    let mut lab = Lab::new("files");
    let (serve, at) = lab.serve_with_files(128);
    let song = wav(&lab, "x.wav", 60);
    let added = lab.json(&["add", lab.dir.join("x.wav").to_str().expect("a path")]);
    let path = format!("/stream/{}", added[0]["id"].as_str().expect("an id"));
    lab.await_status("the song is there", |status| status["songs"] == 1);
    let mut readers = Vec::new();
    for _ in 0..10 {
        readers.extend(slow_readers(&at, &path, 15));
    }
    assert!(get(&at, &path).body == song);
    assert!(serve.descriptors() < 128);
    lab.ok(&["ls"]);
    drop(readers);
}

/// A thousand connections that have asked once, or sent nothing, or a part of a request.
#[test]
fn idle_browsers_lock_nobody_out() {
    let mut lab = Lab::new("idle");
    let (serve, at) = lab.serve();
    let page = format!("GET / HTTP/1.1\r\nHost: {at}\r\n\r\n");
    let half = format!("GET / HTTP/1.1\r\nX: {}", "x".repeat(15_000));
    let mut browsers: Vec<TcpStream> = Vec::new();
    for number in 0..1000 {
        let mut browser = connect(&at);
        let text = [&page, "", &half][number % 3];
        browser.write_all(text.as_bytes()).expect("it listens");
        browsers.push(browser);
    }
    assert_eq!(get(&at, "/").status, 200);
    check_memory(&serve, "1000 idle browsers");
}

/// Uploads that send a byte now and then give way to others, and end as too slow.
#[test]
fn slow_uploads_give_way() {
    let mut lab = Lab::new("uploads");
    let (serve, at) = lab.serve();
    let head =
        format!("POST /api/songs HTTP/1.1\r\nHost: {at}\r\nContent-Length: 1000000\r\n\r\nx");
    let begin = |_| {
        let mut slow = connect(&at);
        slow.write_all(head.as_bytes()).expect("it listens");
        slow
    };
    let mut slow: Vec<TcpStream> = (0..40).map(begin).collect();
    let song = wav(&lab, "x.wav", 5);
    let added = upload(&at, "x.wav", &song);
    assert_eq!(added.status, 201, "{}", added.head);
    check_memory(&serve, "40 slow uploads");
    // The first has made room for the others, and was told so.
    slow[0]
        .set_read_timeout(Some(Duration::from_secs(20)))
        .expect("a socket");
    assert_eq!(read(&mut slow[0]).status, 408);
}
