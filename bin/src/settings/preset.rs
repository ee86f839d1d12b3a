//! Values for links of one kind, all at once.

use crate::args::Preset;

/// Where an answer takes 100 to 300 ms, and now and then a second: what waits for one answer waits about
/// four times as long, so that a slow line is not taken for a death. A death is noticed in about twice
/// the time.
const WAN: [(&str, &str); 6] = [
    ("dns.confirm", "3s"),
    ("ring.beat", "2s"),
    ("ring.confirm", "2s"),
    ("ring.agreed", "5s"),
    ("ring.alone", "12s"),
    ("client.hedge", "800ms"),
];

impl Preset {
    /// The settings that differ from the defaults.
    pub(crate) fn settings(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Preset::Lan => &[],
            Preset::Wan => &WAN,
        }
    }

    /// Whether the preset changes this setting.
    pub(crate) fn sets(self, setting: &str) -> bool {
        self.settings().iter().any(|(name, _)| *name == setting)
    }

    /// The name that a user writes.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Preset::Lan => "lan",
            Preset::Wan => "wan",
        }
    }
}

/// What `wan` makes of a setting; none if it changes nothing.
pub(super) fn wan(setting: &str) -> Option<&'static str> {
    let found = WAN.iter().find(|(name, _)| *name == setting);
    found.map(|(_, value)| *value)
}
