//! What a user does on the page.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;

use super::browser::Browser;
use super::stage::{AUDIO, Song, Stage};

const MARKUP: &str = "<script>document.title=1</script>";

/// A title that takes two lines in the file and one on the page.
const QUOTES: &str = "\"it's\", 100 % &lt;b&gt;\n\u{1f3b5} <b>${1}</b>";

const SONGS: [Song; 4] = [
    Song::new("first", 30, 220.0).tagged("Low tide", "Marea"),
    Song::new("second", 30, 330.0).tagged("Night ferry", "Northern Relay"),
    Song::new("third", 5, 440.0).tagged(MARKUP, "<img src=x onerror=alert(1)>"),
    Song::new("fourth", 5, 550.0).tagged(QUOTES, "\u{d1}and\u{fa}, 'x'"),
];

fn row(title: &str) -> String {
    format!("[...document.querySelectorAll('.row')].find(r => r.song.title === {title:?})")
}

/// Marks an element, so that a click can find it.
fn mark(browser: &Browser, expression: &str) -> &'static str {
    browser.value(&format!(
        "(document.querySelectorAll('[data-marked]').forEach(e => e.removeAttribute('data-marked')),
          ({expression}).setAttribute('data-marked', ''))"
    ));
    "[data-marked]"
}

/// After a click on Play the time advances and the output is not silent.
#[test]
fn play_is_heard_and_stop_ends_it() {
    let Some(stage) = Stage::set("play", "en", (1, 2), &SONGS[..2]) else {
        return;
    };
    let browser = &stage.browser;
    assert_eq!(stage.errors(), [""; 0], "the page loads without errors");
    assert_eq!(browser.text("#play"), "Play");

    browser.click("#play");
    stage.plays_past(1.0);
    let peak = browser.later(&format!(
        "const context = new AudioContext();
         const analyser = context.createAnalyser();
         context.createMediaElementSource({AUDIO}).connect(analyser).connect(context.destination);
         const wave = new Float32Array(analyser.fftSize);
         const end = performance.now() + 10000;
         const look = () => {{
           analyser.getFloatTimeDomainData(wave);
           const peak = Math.max(...wave.map(Math.abs));
           if (peak > 0.1 || performance.now() > end) done(peak); else setTimeout(look, 50);
         }};
         look();"
    ));
    assert!(peak.as_f64().is_some_and(|peak| peak > 0.1), "peak {peak}");
    browser.until("/^from 127/.test(document.querySelector('#source').innerText)");
    assert!(browser.text("#now-title").starts_with("Low tide"));

    browser.click("#stop");
    browser.until(&format!("{AUDIO}.paused && !{AUDIO}.hasAttribute('src')"));
    assert_eq!(browser.text("#play"), "Play");
    assert_eq!(stage.errors(), [""; 0]);
}

/// The bar shows which fragments the player has cached, long before the browser asks for them.
#[test]
fn the_bar_shows_what_is_cached() {
    let long = Song::new("long", 170, 220.0).tagged("Long shore", "Marea");
    let Some(stage) = Stage::set("cached", "en", (1, 1), &[long]) else {
        return;
    };
    let id = stage.lab.id_of("Long shore");
    let out = stage.lab.dir.join("got.wav");
    let got = ["get", &id, "-o", out.to_str().expect("a plain path")];
    stage.lab.ok(&got);
    let browser = &stage.browser;
    browser.click("#play");
    // A browser fetches little ahead, so only the cache can have told of the song's end.
    browser.until(
        "(cells => cells.length > 20 && cells.every(cell => cell.dataset.hue === 'cache'))
         ([...document.querySelectorAll('#strip i')])",
    );
    assert_eq!(stage.errors(), [""; 0]);
}

/// Typed words find songs; the arrow keys and Enter play what was found.
#[test]
fn search_finds_and_enter_plays() {
    let Some(stage) = Stage::set("search", "en", (1, 1), &SONGS[..2]) else {
        return;
    };
    let browser = &stage.browser;
    browser.press("/");
    browser.press("ferry");
    browser.until("document.querySelectorAll('.row').length === 1");
    assert!(browser.text(".row").contains("Northern Relay"));

    const DOWN: char = '\u{e015}';
    const ENTER: char = '\u{e007}';
    browser.press(&format!("{DOWN}{ENTER}"));
    stage.plays_past(0.2);
    assert_eq!(browser.text("#now-title"), "Night ferry");

    browser.click("#search");
    browser.press("xyz");
    browser.until("document.querySelector('#list-note:not([hidden])')");
    assert!(browser.text("#list-note").starts_with("No song matches"));
    assert_eq!(stage.errors(), [""; 0]);
}

/// A file chosen in the dialog is stored and appears in the list; a second upload says it is known.
#[test]
fn upload_appears_in_the_list() {
    let Some(stage) = Stage::set("upload", "en", (1, 2), &[]) else {
        return;
    };
    let browser = &stage.browser;
    let path = SONGS[0].make(&stage.lab);
    let path = path.to_str().expect("a plain path");
    browser.click("#upload");
    browser.write("#files", path);
    browser.until("document.querySelector('.up[data-state=added]')");
    stage.is_listed(1);
    assert!(browser.text(".row").contains("Low tide"));

    browser.write("#files", path);
    browser.until("document.querySelector('.up[data-state=known]')");
    assert_eq!(stage.errors(), [""; 0]);
}

/// Download gives the song's file, byte for byte.
#[test]
fn download_is_the_file() {
    let Some(stage) = Stage::set("download", "en", (1, 1), &SONGS[..1]) else {
        return;
    };
    let browser = &stage.browser;
    assert_eq!(
        browser.value("document.querySelector('#download').href"),
        ""
    );
    browser.click("#play");
    stage.plays_past(0.2);
    let link = browser.value("document.querySelector('#download').href");
    let link = link.as_str().expect("a link").to_owned();
    let id = stage.lab.id_of("Low tide");
    assert_eq!(link, stage.url(&format!("download/{id}")));
    let original = fs::read(stage.lab.dir.join("first.wav")).expect("it was added");
    assert!(fetch(&link) == original, "not the bytes that were added");
}

/// The queue, the position in the song and the star survive a reload.
#[test]
fn queue_survives_a_reload() {
    let Some(stage) = Stage::set("queue", "en", (1, 1), &SONGS[..2]) else {
        return;
    };
    let browser = &stage.browser;
    browser.click("#play");
    stage.plays_past(2.0);
    browser.press("f");
    let more = format!("{}.querySelector('.row-more')", row("Night ferry"));
    browser.click(mark(browser, &more));
    browser.click("#menu .menu-item:nth-child(3)");
    browser.until("document.querySelector('#queue-count').textContent === '1'");

    browser.reload();
    stage.is_listed(2);
    assert_eq!(browser.text("#queue-count"), "1");
    assert_eq!(browser.text("#now-title"), "Low tide");
    let starred = browser.value("document.querySelector('#star').getAttribute('aria-pressed')");
    assert_eq!(starred, "true");
    assert!(
        browser.value(&format!("{AUDIO}.paused")) == true,
        "a reload plays nothing"
    );
    browser.until(&format!("{AUDIO}.currentTime > 1.5"));
    browser.click("#play");
    stage.plays_past(2.5);
    assert_eq!(stage.errors(), [""; 0]);
}

/// What is removed can be taken back at once, or later out of the trash, or goes for good.
#[test]
fn what_was_removed_comes_back() {
    let Some(stage) = Stage::set("trash", "en", (1, 2), &SONGS[..2]) else {
        return;
    };
    let browser = &stage.browser;
    browser.until("!document.querySelector('#trash').hidden");
    let remove = || {
        let more = format!("{}.querySelector('.row-more')", row("Low tide"));
        browser.click(mark(browser, &more));
        assert_eq!(browser.text("#menu .menu-item:last-child"), "Remove");
        browser.click("#menu .menu-item:last-child");
        browser.until("document.querySelectorAll('.row').length === 1");
    };
    remove();
    browser.until("document.querySelector('#toast.shown .toast-deed')");
    assert!(browser.text("#toast").contains("it can be taken back"));
    browser.click("#toast .toast-deed");
    stage.is_listed(2);

    remove();
    browser.until("document.querySelector('#trash-count').textContent === '1'");
    browser.click("#trash");
    browser.until("document.querySelector('li.trashed')");
    let said = browser.text("li.trashed");
    assert!(
        said.contains("Low tide") && said.contains("in 30 days"),
        "{said}"
    );
    browser.click("li.trashed .button");
    browser.until("document.querySelectorAll('li.trashed').length === 0");
    browser.click("#trash-dialog [data-close]");
    stage.is_listed(2);

    remove();
    browser.click("#trash");
    browser.until("document.querySelector('li.trashed')");
    browser.value("void (window.confirm = () => true)");
    browser.click("li.trashed .round");
    browser.until("document.querySelectorAll('li.trashed').length === 0");
    assert_eq!(stage.lab.json(&["trash"]).len(), 0);
    assert_eq!(stage.errors(), [""; 0]);
}

/// The texts of the trash in Spanish.
#[test]
fn spanish_speaks_of_the_trash() {
    let Some(stage) = Stage::set("papelera", "es", (1, 1), &SONGS[..1]) else {
        return;
    };
    let browser = &stage.browser;
    browser.until("!document.querySelector('#trash').hidden");
    assert_eq!(browser.text("#trash"), "Papelera");
    let more = format!("{}.querySelector('.row-more')", row("Low tide"));
    browser.click(mark(browser, &more));
    browser.click("#menu .menu-item:last-child");
    browser.until("document.querySelector('#toast.shown .toast-deed')");
    assert!(browser.text("#toast").contains("se puede recuperar"));
    assert_eq!(browser.text("#toast .toast-deed"), "Deshacer");
}

/// A browser that prefers Spanish gets Spanish texts.
#[test]
fn spanish_is_spoken() {
    let Some(stage) = Stage::set("spanish", "es", (1, 1), &SONGS[..1]) else {
        return;
    };
    let browser = &stage.browser;
    assert_eq!(browser.value("document.documentElement.lang"), "es");
    let buttons = ["#load", "#play", "#download", "#stop", "#upload"];
    let words = buttons.map(|button| browser.text(button));
    assert_eq!(
        words,
        ["Cargar", "Reproducir", "Descargar", "Parar", "Subir"]
    );
    browser.click("#play");
    browser.until("/^de 127/.test(document.querySelector('#source').innerText)");
}

/// Tags are shown as text, whatever they contain.
#[test]
fn markup_in_tags_is_text() {
    let Some(stage) = Stage::set("markup", "en", (1, 1), &SONGS[2..]) else {
        return;
    };
    let browser = &stage.browser;
    for title in [MARKUP, &QUOTES.replace('\n', " ")] {
        let row = row(title);
        browser.click(mark(browser, &format!("{row}.querySelector('.row-play')")));
        let shown = format!("document.querySelector('#now-title').textContent === {title:?}");
        browser.until(&shown);
        assert_eq!(browser.text("#now-title"), title);
        assert!(browser.text(mark(browser, &row)).contains(title), "{title}");
    }
    let strange = "document.querySelectorAll('.row :is(script, b), .now :is(script, b), img[onerror]').length";
    assert_eq!(browser.number(strange), 0.0);
    assert_eq!(stage.errors(), [""; 0]);
}

/// The body at a URL of the player.
fn fetch(url: &str) -> Vec<u8> {
    let rest = url.strip_prefix("http://").expect("plain HTTP");
    let (host, path) = rest.split_once('/').expect("a path");
    let mut stream = TcpStream::connect(host).expect("it listens");
    let head = format!("GET /{path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    stream.write_all(head.as_bytes()).expect("it reads");
    let mut answer = vec![];
    stream.read_to_end(&mut answer).expect("it answers");
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n");
    answer.split_off(end.expect("a head") + 4)
}
