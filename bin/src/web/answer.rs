//! Heads of answers, with the fields that every answer carries.

use std::time::{SystemTime, UNIX_EPOCH};

use net::http::site::Head;
use roles::contract::job::JobFault;
use roles::contract::message::Refusal;
use roles::contract::user::Failure;
use serde::Serialize;

/// The content security policy: what the page may load and do. It forbids inline scripts, so text
/// from tags can never become a script.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
img-src 'self' blob: data:; media-src 'self' blob:; font-src 'self'; connect-src 'self'; \
manifest-src 'self'; worker-src 'self'; base-uri 'none'; form-action 'none'; \
frame-ancestors 'none'";

/// The head of an answer with a body of `length` bytes. An empty media type means no body.
pub(super) fn head(status: u16, media_type: &str, length: u64) -> Head {
    let mut head = Head {
        status,
        fields: vec![
            ("Date", date(SystemTime::now())),
            ("Content-Security-Policy", POLICY.to_owned()),
            ("X-Content-Type-Options", "nosniff".to_owned()),
            ("Referrer-Policy", "no-referrer".to_owned()),
            ("Cross-Origin-Resource-Policy", "same-origin".to_owned()),
        ],
        length: Some(length),
    };
    if !media_type.is_empty() {
        head.fields.push(("Content-Type", media_type.to_owned()));
    }
    head
}

/// A JSON answer, which the browser must not cache.
pub(super) fn json(status: u16, value: &impl Serialize) -> (Head, Vec<u8>) {
    let mut bytes = serde_json::to_vec(value).unwrap_or_else(|_| b"null".to_vec());
    bytes.push(b'\n');
    let mut head = head(status, "application/json", bytes.len() as u64);
    head.fields.push(("Cache-Control", "no-store".to_owned()));
    (head, bytes)
}

/// A JSON answer that describes an error.
pub(super) fn error(status: u16, why: &str) -> (Head, Vec<u8>) {
    #[derive(Serialize)]
    struct Object<'a> {
        error: &'a str,
    }
    json(status, &Object { error: why })
}

/// The status that goes with a failed operation of the client.
pub(super) fn status(failure: &Failure) -> u16 {
    match failure {
        Failure::NotFound | Failure::Trashed(_) | Failure::NotInTrash => 404,
        Failure::Ambiguous(_) => 400,
        Failure::Unreachable { .. } | Failure::KeyRefused => 502,
        Failure::Refused(Refusal::DiskFull) => 507,
        Failure::Refused(Refusal::NotAllowed(_)) => 403,
        Failure::Refused(_) | Failure::NoCopy | Failure::NoData | Failure::Busy => 503,
        Failure::Local(fault) => match fault {
            JobFault::NotFound | JobFault::Removed => 404,
            JobFault::Invalid(_) | JobFault::Ambiguous(_) => 400,
            JobFault::DiskFull => 507,
            JobFault::Busy | JobFault::Abandoned | JobFault::Quarantined => 503,
            JobFault::Damaged | JobFault::Broken(_) | JobFault::Corrupt(_) => 500,
        },
    }
}

/// A moment as HTTP writes it: `Mon, 23 Nov 2026 17:04:20 GMT`.
fn date(at: SystemTime) -> String {
    let seconds = at.duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs());
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    // Howard Hinnant's days-to-civil, for days after 1970: years begin in March.
    let era_day = days + 719_468;
    let (era, day) = (era_day / 146_097, era_day % 146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day_of_month = day - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = era * 400 + year + u64::from(month <= 2);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!(
        "{}, {day_of_month:02} {} {year} {hour:02}:{minute:02}:{second:02} GMT",
        DAYS[(days % 7) as usize],
        MONTHS[(month - 1) as usize],
    )
}

/// The weekdays, counted from 1970-01-01, a Thursday.
const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];

const MONTHS: [&str; 12] = [
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
];

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn dates_are_those_of_the_calendar() {
        let at = |seconds| date(UNIX_EPOCH + Duration::from_secs(seconds));
        assert_eq!(at(0), "Thu, 01 Jan 1970 00:00:00 GMT");
        assert_eq!(at(951_782_399), "Mon, 28 Feb 2000 23:59:59 GMT");
        assert_eq!(at(951_782_400), "Tue, 29 Feb 2000 00:00:00 GMT");
        assert_eq!(at(1_795_453_460), "Mon, 23 Nov 2026 17:04:20 GMT");
    }
}
