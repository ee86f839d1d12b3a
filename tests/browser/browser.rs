//! A browser with one window: clicks, keys, scripts, and its error log.

use std::env;
use std::path::{Path, PathBuf};
use std::time::Instant;

use serde_json::{Value, json};

use super::driver::Driver;
use super::lab::PATIENCE;

/// The key under which WebDriver names an element.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// One window; closed when dropped.
pub(super) struct Browser {
    driver: Driver,
    session: String,
}

impl Browser {
    /// Opens a window that prefers this language. None: there is no browser on this machine, and
    /// the test reports a skip.
    pub(super) fn open(dir: &Path, language: &str) -> Option<Self> {
        let (Some(binary), Some(driver)) = (chromium(), Driver::start()) else {
            #[expect(clippy::print_stderr, reason = "a test says what it did not do")]
            {
                eprintln!("skipped: no chromium");
            }
            return None;
        };
        let profile = dir.join("profile");
        let wish = json!({ "capabilities": { "alwaysMatch": {
            "goog:chromeOptions": {
                "binary": binary,
                // Autoplay stays forbidden: if it were allowed, a player that starts without a
                // click would go unnoticed.
                "args": [
                    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
                    "--disable-background-networking", "--disable-component-update",
                    "--disable-sync", "--disable-dev-shm-usage", "--window-size=1280,860",
                    format!("--lang={language}"), format!("--user-data-dir={}", profile.display()),
                ],
                "prefs": { "intl.accept_languages": language },
            },
            "goog:loggingPrefs": { "browser": "ALL" },
            "timeouts": { "script": PATIENCE.as_millis() as u64 },
        } } });
        let session = driver.ask("POST", "/session", &wish);
        let session = session.expect("a browser")["sessionId"].clone();
        let session = session.as_str().expect("a session").to_owned();
        Some(Browser { driver, session })
    }

    fn ask(&self, method: &str, path: &str, body: &Value) -> Result<Value, String> {
        let path = format!("/session/{}{path}", self.session);
        self.driver.ask(method, &path, body)
    }

    fn post(&self, path: &str, body: &Value) -> Value {
        self.ask("POST", path, body)
            .unwrap_or_else(|e| panic!("{e}"))
    }

    pub(super) fn go(&self, url: &str) {
        self.post("/url", &json!({ "url": url }));
    }

    pub(super) fn reload(&self) {
        self.post("/refresh", &json!({}));
    }

    fn element(&self, css: &str) -> String {
        let wish = json!({ "using": "css selector", "value": css });
        let found = self.post("/element", &wish);
        found[ELEMENT].as_str().expect("an element").to_owned()
    }

    /// Clicks as a mouse does: moves there and presses, so that the page may play sound.
    pub(super) fn click(&self, css: &str) {
        let element = self.element(css);
        self.post(&format!("/element/{element}/click"), &json!({}));
    }

    /// Types into an element; into a file input, the path of a file.
    pub(super) fn write(&self, css: &str, text: &str) {
        let element = self.element(css);
        let path = format!("/element/{element}/value");
        self.post(&path, &json!({ "text": text }));
    }

    /// Presses keys; the element with the focus gets them.
    pub(super) fn press(&self, keys: &str) {
        let strokes = keys.chars().flat_map(|key| {
            let stroke = |kind| json!({ "type": kind, "value": key });
            [stroke("keyDown"), stroke("keyUp")]
        });
        let strokes: Vec<Value> = strokes.collect();
        let actions = json!({ "actions": [{ "type": "key", "id": "keys", "actions": strokes }] });
        self.post("/actions", &actions);
    }

    /// The value of an expression in the page.
    pub(super) fn value(&self, expression: &str) -> Value {
        let script = format!("return ({expression})");
        self.post("/execute/sync", &json!({ "script": script, "args": [] }))
    }

    pub(super) fn text(&self, css: &str) -> String {
        let text = self.value(&format!("document.querySelector({css:?}).innerText"));
        text.as_str().unwrap_or_default().to_owned()
    }

    pub(super) fn number(&self, expression: &str) -> f64 {
        self.value(expression).as_f64().unwrap_or(f64::NAN)
    }

    /// Runs a script that calls `done(value)` later, and gives the value.
    pub(super) fn later(&self, script: &str) -> Value {
        let script = format!("const done = arguments[0]; {script}");
        self.post("/execute/async", &json!({ "script": script, "args": [] }))
    }

    /// Waits until an expression is true. Each script call polls in the page for a second.
    pub(super) fn until(&self, expression: &str) {
        let begun = Instant::now();
        let look = format!(
            "const end = performance.now() + 1000;
             const look = () => {{
               const good = Boolean({expression});
               if (good || performance.now() > end) done(good); else setTimeout(look, 20);
             }};
             look();"
        );
        while self.later(&look) != json!(true) {
            let page = || self.value("document.body.innerText");
            assert!(
                begun.elapsed() < PATIENCE,
                "never: {expression}\n{}\n{:?}",
                page(),
                self.errors()
            );
        }
    }

    /// Errors in the browser's log since the last call.
    pub(super) fn errors(&self) -> Vec<String> {
        let log = self.post("/se/log", &json!({ "type": "browser" }));
        let entries = log.as_array().cloned().unwrap_or_default();
        let severe = entries.iter().filter(|entry| entry["level"] == "SEVERE");
        severe.map(|entry| entry["message"].to_string()).collect()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.ask("DELETE", "", &Value::Null);
    }
}

fn chromium() -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    let names = ["chromium", "chromium-browser", "google-chrome"];
    let mut found = env::split_paths(&path).flat_map(|dir| names.map(|name| dir.join(name)));
    found.find(|path| path.is_file())
}
