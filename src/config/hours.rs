//! Hours of the week, such as `Mon-Fri 06:00-20:00`.

use std::fmt;

use chrono::{DateTime, Datelike, Timelike, Utc};
use serde::Deserialize;

const DAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];
const DAY: u16 = 24 * 60;
const WEEK: u16 = 7 * DAY;

/// Hours of the week in UTC; with none named, all of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Vec<String>")]
pub struct Hours {
    spans: Vec<Span>,
    text: String,
}

/// In minutes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Span {
    /// Since Monday began.
    from: u16,
    long: u16,
}

impl Hours {
    /// Whether `now` is one of them.
    pub fn hold(&self, now: DateTime<Utc>) -> bool {
        let day = now.weekday().num_days_from_monday();
        let minute = u16::try_from((day * 24 + now.hour()) * 60 + now.minute()).unwrap_or_default();
        self.spans.is_empty() || self.spans.iter().any(|span| span.holds(minute))
    }
}

impl Span {
    /// What begins late on Sunday may end on Monday.
    fn holds(self, minute: u16) -> bool {
        (minute + WEEK - self.from) % WEEK < self.long
    }
}

impl fmt::Display for Hours {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} UTC", self.text)
    }
}

impl TryFrom<Vec<String>> for Hours {
    type Error = String;

    fn try_from(texts: Vec<String>) -> Result<Self, String> {
        let mut spans = Vec::new();
        for text in &texts {
            spans.extend(spans_of(text).ok_or_else(|| {
                format!(
                    "`{text}` is not hours of the week such as \"Mon-Fri 06:00-20:00\" or \"06:00-20:00\""
                )
            })?);
        }
        Ok(Self { spans, text: texts.join(", ") })
    }
}

fn spans_of(text: &str) -> Option<Vec<Span>> {
    let (days, times) = match text.trim().rsplit_once(' ') {
        Some((days, times)) => (days_of(days)?, times),
        None => ((0..7).collect(), text.trim()),
    };
    let (from, to) = times.split_once('-')?;
    let (from, to) = (minute_of(from)?, minute_of(to)?);
    // Nobody can mean no time at all, and who means all day writes 24:00.
    if from == to || from == DAY {
        return None;
    }
    // Over midnight they belong to the day on which they begin.
    let long = (to + DAY - from - 1) % DAY + 1;
    Some(days.into_iter().map(|day| Span { from: day * DAY + from, long }).collect())
}

/// `Mon-Fri`, `Sat`, `Mon,Wed,Fri`, and `Fri-Mon` over the weekend.
fn days_of(text: &str) -> Option<Vec<u16>> {
    let mut days = Vec::new();
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last) = (day_of(first)?, day_of(last)?);
        days.extend((0..=(last + 7 - first) % 7).map(|after| (first + after) % 7));
    }
    Some(days)
}

fn day_of(text: &str) -> Option<u16> {
    let day = DAYS.iter().position(|day| day.eq_ignore_ascii_case(text.trim()))?;
    u16::try_from(day).ok()
}

fn minute_of(text: &str) -> Option<u16> {
    let (hour, minute) = text.split_once(':')?;
    let number = |text: &str| {
        let digits = text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
        digits.then(|| text.parse::<u16>().ok()).flatten()
    };
    let (hour, minute) = (number(hour)?, number(minute)?);
    let whole = hour * 60 + minute;
    (minute < 60 && whole <= DAY).then_some(whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hours(texts: &[&str]) -> Result<Hours, String> {
        Hours::try_from(texts.iter().map(|&text| text.to_owned()).collect::<Vec<_>>())
    }

    /// 6 July 2026 is a Monday.
    fn hold(texts: &[&str], day: u32, time: &str) -> bool {
        let now = format!("2026-07-{day:02}T{time}:30Z").parse().expect("a time");
        hours(texts).expect("hours").hold(now)
    }

    #[test]
    fn they_begin_with_their_first_minute_and_end_before_their_last() {
        let office = ["Mon-Fri 06:00-20:00"];
        for (day, time, expected) in [
            (6, "05:59", false),
            (6, "06:00", true),
            (10, "19:59", true),
            (10, "20:00", false),
            (11, "12:00", false),
            (12, "12:00", false),
            (13, "12:00", true),
        ] {
            assert_eq!(hold(&office, day, time), expected, "{day} {time}");
        }
        assert!(hold(&[], 11, "03:00"), "none are all");
        assert!(hold(&["00:00-24:00"], 12, "23:59") && hold(&["06:00-07:00"], 12, "06:30"));
        assert!(hold(&["Mon 01:00-02:00", "tue 03:00-04:00"], 7, "03:00"));
    }

    #[test]
    fn over_midnight_they_belong_to_the_day_they_begin_on() {
        let nights = ["Mon,Sun 22:00-06:00"];
        for (day, time, expected) in [
            (6, "21:59", false),
            (6, "23:00", true),
            (7, "05:59", true),
            (7, "06:00", false),
            (7, "23:00", false),
            // Sunday's end is on Monday.
            (6, "05:00", true),
            (12, "23:59", true),
        ] {
            assert_eq!(hold(&nights, day, time), expected, "{day} {time}");
        }
        let weekend = ["Fri-Mon 10:00-11:00"];
        assert!(hold(&weekend, 6, "10:00") && hold(&weekend, 12, "10:00") && !hold(&weekend, 8, "10:00"));
    }

    #[test]
    fn what_is_no_hours_is_refused() {
        for wrong in [
            "",
            "Mon",
            "Mon-Fri",
            "6:00-20:00",
            "06:00",
            "06:00-24:01",
            "24:00-06:00",
            "06:60-07:00",
            "06:00-06:00",
            "Mon-Fri06:00-20:00",
            "Moon 06:00-20:00",
            "Mon-Wed-Fri 06:00-20:00",
            "Mon 06:00-20:00-21:00",
            "+6:00-20:00",
        ] {
            assert!(hours(&[wrong]).is_err(), "{wrong:?}");
        }
        assert_eq!(
            hours(&["Mon 06:00-07:00", "Sat 08:00-09:00"]).expect("hours").to_string(),
            "Mon 06:00-07:00, Sat 08:00-09:00 UTC"
        );
    }
}
