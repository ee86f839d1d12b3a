//! `dispotify key`.

use super::line;
use crate::args::{Key, KeyAction};
use crate::failure::Failure;
use crate::key::derived_text;
use crate::settings::Settings;

/// Prints a key for one purpose.
pub(crate) fn run(settings: &Settings, key: &Key) -> Result<(), Failure> {
    match key.action {
        KeyAction::Derive { right } => line(&derived_text(&settings.derive(right.into())?)),
    }
}
