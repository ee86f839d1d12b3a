//! Nodes die or freeze while a song plays in the browser.
//!
//! The song has many bytes per second. After each fault the test listens until everything that had
//! come before is used up: if the music goes on, fragments still come.

use serde_json::Value;

use super::lab::Server;
use super::stage::{AUDIO, Song, Stage};

/// 768 kB per second: a browser buffers some thirty seconds, and two faults use up two buffers.
const SONG: [Song; 1] = [Song::new("long", 100, 262.0).at(192_000)];

/// Duration of five fragments: more than the player asks for at a time.
const ON_ITS_WAY_S: f64 = 6.5;

/// Most silence in all, allowed for a busy machine that is late with its sound.
const SILENCE_S_MAX: f64 = 3.0;

/// Starts to play, notes the lag between clock and music, and counts waits for bytes.
fn begin(stage: &Stage) {
    stage.browser.click("#play");
    stage.plays_past(0.5);
    stage.browser.value(&format!(
        "(window.begun = {LAG}, window.waits = 0,
          {AUDIO}.addEventListener('waiting', () => {{ window.waits += 1; }}), 0)"
    ));
}

/// How far the music lags behind the clock, in seconds. Every moment of silence adds to it, so none
/// can fall between two looks.
const LAG: &str =
    "performance.now() / 1000 - document.querySelector('audio[data-current]').currentTime";

/// The music plays without a break past everything that had come or was on its way.
fn goes_on(stage: &Stage) {
    let come = stage.browser.number(
        "(() => {
           let [end, come] = [0, 0];
           for (const cell of document.querySelectorAll('#strip i')) {
             end += Number(cell.style.flexGrow) / 1000;
             if (cell.dataset.hue) come = end;
           }
           return come;
         })()",
    );
    let seconds = come + ON_ITS_WAY_S;
    assert!(
        seconds < f64::from(SONG[0].seconds),
        "no more to come after second {come}"
    );
    stage.plays_past(seconds);
    let silence = stage.browser.number(&format!("{LAG} - window.begun"));
    let waits = stage.browser.number("window.waits");
    assert!(
        waits == 0.0 && silence < SILENCE_S_MAX,
        "{waits} waits, {silence} s of silence before second {seconds}\n{}",
        stage.lab.read_log()
    );
}

/// The data node that gave the fragment now playing.
fn heard(stage: &mut Stage) -> &mut Server {
    stage
        .browser
        .until("/^from 127/.test(document.querySelector('#source').innerText)");
    let source = stage.browser.text("#source");
    let words = source.trim_start_matches("from ");
    let address = words.split([',', ' ']).next().unwrap_or_default();
    let mut data = stage.data.iter_mut();
    let found = data.find(|server| server.address == address);
    found.unwrap_or_else(|| panic!("nobody is at {address:?}"))
}

/// The router that the player uses.
fn router(stage: &mut Stage) -> &mut Server {
    let status = stage
        .browser
        .later("fetch('api/status').then(r => r.json()).then(done)");
    let Value::String(address) = &status["router"] else {
        panic!("no router in {status}");
    };
    let mut names = stage.names.iter_mut();
    let found = names.find(|server| &server.address == address);
    found.unwrap_or_else(|| panic!("nobody is at {address:?}"))
}

fn dns(stage: &mut Stage) -> &mut Server {
    &mut stage.names[0]
}

/// The music survives a fault of the data node that is playing, then of the router in use and of
/// the only DNS node.
fn survives(name: &str, blow: fn(&mut Server)) {
    let Some(mut stage) = Stage::set(name, "en", (2, 3), &SONG) else {
        return;
    };
    begin(&stage);
    let lost = heard(&mut stage);
    blow(lost);
    let lost = lost.address.clone();
    goes_on(&stage);
    stage.browser.until(&format!(
        "/{lost} (is|are) down/.test(document.querySelector('#source').innerText)"
    ));

    stage
        .browser
        .until("document.querySelector('#ring .node:is([data-state=suspect], [data-state=dead])')");

    blow(router(&mut stage));
    blow(dns(&mut stage));
    goes_on(&stage);
    assert_eq!(stage.errors(), [""; 0]);
}

/// The nodes are killed: their connections break at once.
#[test]
fn music_goes_on_when_nodes_are_killed() {
    survives("killed", Server::kill);
}

/// The nodes freeze: their connections stay open, and no bytes come.
#[test]
fn music_goes_on_when_nodes_freeze() {
    survives("frozen", |server| server.signal("STOP"));
}

/// The player's own process dies: the page says so, and goes on from there when the player is back.
#[test]
fn music_goes_on_when_the_player_is_back() {
    let Some(mut stage) = Stage::set("away", "en", (1, 2), &SONG) else {
        return;
    };
    stage.browser.click("#play");
    stage.plays_past(0.5);
    stage.web.kill();
    // The middle of the song, which the browser cannot have buffered yet.
    stage.browser.click("#seek");
    stage
        .browser
        .until("/does not answer/.test(document.querySelector('#source').innerText)");

    stage.restart_web();
    stage.plays_past(51.0);
    stage
        .browser
        .until("/^from 127/.test(document.querySelector('#source').innerText)");
    assert_eq!(stage.browser.text("#play"), "Pause");
}
