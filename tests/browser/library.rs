//! The views of the library: addresses, albums, artists, long lists, and a server that goes away.

use std::fs;

use super::sound;
use super::stage::{AUDIO, Song, Stage};

const ALBUM: [Song; 4] = [
    Song::new("one", 3, 220.0)
        .tagged("First wave", "Marea")
        .on("High water", "1"),
    Song::new("two", 3, 330.0)
        .tagged("Second wave", "Marea")
        .on("High water", "2"),
    Song::new("three", 3, 440.0)
        .tagged("Third wave", "Marea")
        .on("High water", "3"),
    Song::new("other", 3, 550.0)
        .tagged("Night ferry", "Northern Relay")
        .on("Crossings", "1"),
];

/// Whether the page shows a heading with these words.
fn heads(words: &str) -> String {
    format!("document.querySelector('#place h1')?.textContent === {words:?}")
}

/// An album is found from home, by its card; each view has its address, and the back button leads to
/// the view before.
#[test]
fn each_view_has_an_address_and_a_way_back() {
    let Some(stage) = Stage::set("views", "en", (1, 1), &ALBUM) else {
        return;
    };
    let browser = &stage.browser;
    browser.go(&stage.url("#/"));
    browser.until("document.querySelectorAll('#place .card').length >= 2");
    browser.click("[data-place=albums]");
    browser.until("location.hash === '#/albums'");
    browser.until("document.querySelectorAll('.cards .card').length === 2");
    let album = "[...document.querySelectorAll('.cards .card-title')].find(a => a.textContent === 'High water')";
    let address = browser.value(&format!("{album}.getAttribute('href')"));
    browser.value(&format!("{album}.click()"));
    browser.until(&heads("High water"));
    assert_eq!(browser.value("location.hash"), address);
    browser.click(".hero-artist a");
    browser.until(&heads("Marea"));
    browser.until("document.querySelectorAll('#songs .row').length === 3");

    browser.value("history.back()");
    browser.until(&heads("High water"));
    browser.value("history.back()");
    browser.until("location.hash === '#/albums'");
    browser.until("document.querySelectorAll('.cards .card').length === 2");

    // An address that was kept leads there at once.
    browser.go("about:blank");
    browser.go(&stage.url(address.as_str().expect("an address")));
    browser.until(&heads("High water"));
    assert_eq!(stage.errors(), [""; 0]);
}

/// The songs of an album play one after another in their order, and what waits is seen in the queue.
#[test]
fn an_album_plays_in_its_order() {
    let Some(stage) = Stage::set("album", "en", (1, 1), &ALBUM) else {
        return;
    };
    let browser = &stage.browser;
    browser.go(&stage.url("#/albums"));
    browser.until("document.querySelectorAll('.cards .card').length === 2");
    let card =
        "[...document.querySelectorAll('.card')].find(c => c.innerText.includes('High water'))";
    browser.value(&format!("{card}.querySelector('.card-title').click()"));
    browser.until("document.querySelectorAll('.row.numbered').length === 3");
    assert_eq!(browser.text(".row.numbered .row-title"), "First wave");

    browser.value(
        "(window.heard = [], setInterval(() => {
           const title = document.querySelector('#now-title').textContent;
           if (window.heard.at(-1) !== title) window.heard.push(title);
         }, 20), true)",
    );
    browser.click(".hero-deeds .main");
    browser.until(&format!("!{AUDIO}.paused"));
    assert_eq!(browser.text("#queue-count"), "2");
    browser.until("document.querySelector('.row.numbered.here.playing')");
    browser.until("document.querySelector('#now-title').textContent === 'Third wave'");
    let heard = browser.value("window.heard.filter(title => / wave$/.test(title))");
    assert_eq!(
        heard,
        serde_json::json!(["First wave", "Second wave", "Third wave"])
    );
    assert_eq!(stage.errors(), [""; 0]);
}

/// A song of an album is followed by the next one of the album, whatever the page shows meanwhile.
#[test]
fn the_music_goes_on_where_it_began() {
    let Some(stage) = Stage::set("trail", "en", (1, 1), &ALBUM) else {
        return;
    };
    let browser = &stage.browser;
    browser.press("/");
    browser.press("album:high");
    browser.until("document.querySelectorAll('#songs .row').length === 3");
    // What is found stands by kind above the songs.
    browser.until("document.querySelectorAll('#place .card').length === 1");
    browser.value("document.querySelector('#place .card-title').click()");
    browser.until("document.querySelectorAll('.row.numbered').length === 3");
    browser.click(".row.numbered .row-title");
    stage.plays_past(0.1);
    browser.click("[data-place=artists]");
    browser.until("document.querySelectorAll('.names .name').length === 2");
    browser.until("document.querySelector('#now-title').textContent === 'Second wave'");
    assert_eq!(stage.errors(), [""; 0]);
}

/// Songs that are chosen together play together.
#[test]
fn several_songs_are_chosen_by_keys() {
    let Some(stage) = Stage::set("picks", "en", (1, 1), &ALBUM) else {
        return;
    };
    let browser = &stage.browser;
    browser.value("document.querySelector('#songs .row-title').focus()");
    const DOWN: char = '\u{e015}';
    browser.press(&format!("x{DOWN}x"));
    browser.until("document.querySelectorAll('#songs .row.picked').length === 2");
    assert_eq!(browser.text("#picks-count"), "2 selected");
    browser.click("#picks-play");
    browser.until("document.querySelector('#picks').hidden");
    stage.plays_past(0.1);
    assert_eq!(browser.text("#queue-count"), "1");
    assert_eq!(stage.errors(), [""; 0]);
}

/// Of a long list only what is near the window is in the page; its end is reached without what lies
/// between, and the height tells how long it is.
#[test]
fn a_long_list_is_windowed() {
    const SONGS: usize = 320;
    let Some(stage) = Stage::set("long", "en", (1, 1), &[]) else {
        return;
    };
    let music = stage.lab.dir.join("music");
    fs::create_dir_all(&music).expect("a folder");
    for n in 0..SONGS {
        // Each with bytes of its own; without tags, the title is the name of the file.
        let path = music.join(format!("song {n:03}.wav"));
        sound::wav_at(8_000, &path, 1, 100.0 + n as f32);
    }
    stage.lab.ok(&["add", music.to_str().expect("a path")]);
    let browser = &stage.browser;
    browser.value("(document.querySelector('#sort').value = 'title', document.querySelector('#load').click())");
    browser.until(&format!(
        "document.querySelector('#count').textContent === '{SONGS} songs'"
    ));
    let rows = browser.number("document.querySelectorAll('#songs li').length");
    assert!((5.0..60.0).contains(&rows), "{rows} rows in the page");
    let height = browser.number("document.querySelector('#songs').offsetHeight");
    assert!(height >= 60.0 * SONGS as f64, "{height}");

    browser.value("document.querySelector('.library').scrollTop = 1e9");
    let last = format!("song {:03}", SONGS - 1);
    browser.until(&format!(
        "[...document.querySelectorAll('#songs .row-title')].some(t => t.textContent === {last:?})"
    ));
    let rows = browser.number("document.querySelectorAll('#songs li').length");
    assert!((5.0..60.0).contains(&rows), "{rows} rows at the end");
    assert_eq!(stage.errors(), [""; 0]);
}

/// Once it was visited, the page opens without its server, with the lists that were looked at, and plays
/// the songs that were heard.
#[test]
fn the_page_opens_and_plays_without_its_server() {
    let Some(mut stage) = Stage::set("offline", "en", (1, 1), &ALBUM[..1]) else {
        return;
    };
    stage.browser.until("navigator.serviceWorker.controller");
    stage.browser.reload();
    stage.is_listed(1);
    stage.browser.click("#play");
    let kept = "caches.open('songs').then(c => c.keys()).then(k => done(k.length === 1))";
    while stage.browser.later(kept) != true {}
    stage.web.kill();

    stage.browser.reload();
    let row = "document.querySelectorAll('#songs .row').length === 1";
    stage.browser.until(row);
    stage.browser.click("#songs .row-title");
    stage.plays_past(0.5);
}
