//! Reads the columns of a row, from left to right, in the order in which the statement names them.

use chrono::{DateTime, Datelike as _, NaiveDate, NaiveDateTime, TimeDelta, TimeZone as _, Utc};
use chrono_tz::Tz;
use tokio_postgres::Row;
use tokio_postgres::types::{FromSql, Type};

use super::catalog::Kind;
use crate::identity::{Ban, Value};

/// A value that cannot be read.
#[derive(Debug)]
pub(super) struct Misfit {
    /// Its position in the row.
    pub(super) column: usize,
    pub(super) why: &'static str,
}

/// How the column of a ban's expiry is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BanExpiry {
    Time,
    /// Milliseconds since 1970, as JavaScript counts, in a column of this kind.
    Milliseconds(Kind),
    Text,
}

pub(super) struct Columns<'a> {
    row: &'a Row,
    next: usize,
    zone: Tz,
}

/// Microseconds since 2000, as PostgreSQL sends a time; the outermost two are `-infinity` and `infinity`.
struct RawTime(i64);

impl<'a> FromSql<'a> for RawTime {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn std::error::Error + Sync + Send>> {
        Ok(Self(i64::from_be_bytes(raw.try_into()?)))
    }

    fn accepts(ty: &Type) -> bool {
        matches!(*ty, Type::TIMESTAMP | Type::TIMESTAMPTZ)
    }
}

impl<'a> Columns<'a> {
    pub(super) fn new(row: &'a Row, next: usize, zone: Tz) -> Self {
        Self { row, next, zone }
    }

    pub(super) fn read<T: FromSql<'a>>(&mut self) -> Result<T, Misfit> {
        let column = self.next;
        self.next += 1;
        self.row.try_get(column).map_err(|_| Misfit {
            column,
            why: "has a value that cannot be read, such as text that is not UTF-8",
        })
    }

    /// A time that every reader can hold: Python's end with the year 9999.
    pub(super) fn time(&mut self) -> Result<Option<DateTime<Utc>>, Misfit> {
        let column = self.next;
        match self.raw_time()? {
            None => Ok(None),
            Some(raw) => raw.in_range().map(Some).ok_or(Misfit {
                column,
                why: "has a time outside the years 1 to 9999, such as infinity: change the value",
            }),
        }
    }

    /// When a session ends: NULL, and what is before all clocks, is long past.
    pub(super) fn expiry(&mut self) -> Result<DateTime<Utc>, Misfit> {
        let column = self.next;
        match self.raw_time()? {
            None => Ok(DateTime::UNIX_EPOCH),
            Some(raw) if raw.is_before_all() => Ok(DateTime::UNIX_EPOCH),
            Some(raw) => raw.in_range().ok_or(Misfit {
                column,
                why: "has a time after the year 9999, such as infinity: change the value",
            }),
        }
    }

    /// The admin plugin's two columns, where the table has them. An expiry that cannot be read is none: the ban stays.
    pub(super) fn ban(&mut self, has_banned: bool, expiry: Option<BanExpiry>) -> Result<Option<Ban>, Misfit> {
        let is_banned = has_banned && self.read::<Option<bool>>()?.unwrap_or(false);
        let expires_at = expiry.and_then(|expiry| self.ban_expiry(expiry));
        Ok(is_banned.then_some(Ban { expires_at }))
    }

    fn ban_expiry(&mut self, expiry: BanExpiry) -> Option<DateTime<Utc>> {
        let milliseconds = match expiry {
            BanExpiry::Time => return self.raw_time().ok()??.in_range(),
            BanExpiry::Text => return time_of_text(&self.read::<Option<String>>().ok()??, self.zone),
            BanExpiry::Milliseconds(Kind::Int) => self.int().ok()??,
            BanExpiry::Milliseconds(Kind::Float) => whole(self.float().ok()??)?,
            BanExpiry::Milliseconds(_) => whole(self.read::<Option<String>>().ok()??.parse::<f64>().ok()?)?,
        };
        DateTime::from_timestamp_millis(milliseconds)
    }

    pub(super) fn own(&mut self, kinds: &[Kind]) -> Result<Vec<Value>, Misfit> {
        kinds.iter().map(|kind| self.value(*kind)).collect()
    }

    fn value(&mut self, kind: Kind) -> Result<Value, Misfit> {
        let column = self.next;
        let value = match kind {
            Kind::Text => self.read::<Option<String>>()?.map(Value::Text),
            Kind::Bool => self.read::<Option<bool>>()?.map(Value::Bool),
            Kind::Int => self.int()?.map(Value::Int),
            Kind::Float => self.float()?.map(Value::Float),
            Kind::Time | Kind::LocalTime => self.time()?.map(Value::Time),
            Kind::Json | Kind::Array => match self.read::<Option<String>>()? {
                Some(text) => {
                    let json = serde_json::from_str(&text);
                    Some(Value::Json(
                        json.map_err(|_| Misfit { column, why: "has JSON that cannot be read" })?,
                    ))
                }
                None => None,
            },
        };
        Ok(value.unwrap_or(Value::Null))
    }

    fn int(&mut self) -> Result<Option<i64>, Misfit> {
        Ok(match self.next_type() {
            Some(&Type::INT2) => self.read::<Option<i16>>()?.map(i64::from),
            Some(&Type::INT4) => self.read::<Option<i32>>()?.map(i64::from),
            _ => self.read()?,
        })
    }

    fn float(&mut self) -> Result<Option<f64>, Misfit> {
        Ok(match self.next_type() {
            Some(&Type::FLOAT4) => self.read::<Option<f32>>()?.map(f64::from),
            _ => self.read()?,
        })
    }

    fn raw_time(&mut self) -> Result<Option<ZonedTime>, Misfit> {
        let zone = if self.next_type() == Some(&Type::TIMESTAMP) { self.zone } else { Tz::UTC };
        Ok(self.read::<Option<RawTime>>()?.map(|raw| ZonedTime { microseconds: raw.0, zone }))
    }

    fn next_type(&self) -> Option<&Type> {
        self.row.columns().get(self.next).map(tokio_postgres::Column::type_)
    }
}

/// A time as PostgreSQL sends it, and the zone of the clock that showed it.
struct ZonedTime {
    microseconds: i64,
    zone: Tz,
}

/// From 1970 to 2000.
const POSTGRES_EPOCH_MICROSECONDS: i64 = 946_684_800_000_000;

impl ZonedTime {
    fn is_before_all(&self) -> bool {
        let utc = self.microseconds.checked_add(POSTGRES_EPOCH_MICROSECONDS);
        self.microseconds < 0
            && utc.and_then(DateTime::from_timestamp_micros).is_none_or(|time| time.year() < 1)
    }

    fn in_range(&self) -> Option<DateTime<Utc>> {
        if matches!(self.microseconds, i64::MIN | i64::MAX) {
            return None;
        }
        let shown =
            DateTime::from_timestamp_micros(self.microseconds.checked_add(POSTGRES_EPOCH_MICROSECONDS)?)?;
        let time = utc_of(shown.naive_utc(), self.zone)?;
        (1..=9999).contains(&time.year()).then_some(time)
    }
}

/// What a clock of this zone shows, as a time: an hour that it shows twice is the earlier one, and one that it leaves
/// out is counted on from before.
fn utc_of(shown: NaiveDateTime, zone: Tz) -> Option<DateTime<Utc>> {
    if zone == Tz::UTC {
        return Some(shown.and_utc());
    }
    let time = zone.from_local_datetime(&shown).earliest().or_else(|| {
        let gap = TimeDelta::hours(3);
        let before = zone.from_local_datetime(&shown.checked_sub_signed(gap)?).earliest()?;
        before.checked_add_signed(gap)
    })?;
    Some(time.to_utc())
}

/// As JavaScript's `Date` reads text, in its usual forms.
fn time_of_text(text: &str, zone: Tz) -> Option<DateTime<Utc>> {
    let text = text.trim();
    if let Ok(time) = DateTime::parse_from_rfc3339(text) {
        return Some(time.to_utc());
    }
    if let Ok(time) = DateTime::parse_from_str(text, "%Y-%m-%d %H:%M:%S%.f%#z") {
        return Some(time.to_utc());
    }
    for form in ["%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M:%S%.f"] {
        if let Ok(shown) = NaiveDateTime::parse_from_str(text, form) {
            return utc_of(shown, zone);
        }
    }
    let midnight = NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()?.and_hms_opt(0, 0, 0)?;
    Some(midnight.and_utc())
}

/// JavaScript cuts the fraction off.
fn whole(milliseconds: f64) -> Option<i64> {
    // What JavaScript's Date can hold.
    const MOST: f64 = 8.64e15;
    #[expect(clippy::cast_possible_truncation, reason = "the range was checked")]
    (milliseconds.abs() <= MOST).then_some(milliseconds as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn utc(shown: &str, zone: Tz) -> Option<String> {
        let shown = NaiveDateTime::parse_from_str(shown, "%Y-%m-%d %H:%M").ok()?;
        Some(utc_of(shown, zone)?.format("%Y-%m-%d %H:%M").to_string())
    }

    #[test]
    fn a_wall_clock_is_read_in_its_zone() {
        for (zone, shown, expected) in [
            (Tz::UTC, "2026-07-01 12:00", "2026-07-01 12:00"),
            (Tz::Europe__Berlin, "2026-07-01 12:00", "2026-07-01 10:00"),
            (Tz::Europe__Berlin, "2026-01-01 12:00", "2026-01-01 11:00"),
            (Tz::America__Los_Angeles, "2026-07-01 12:00", "2026-07-01 19:00"),
            (Tz::Asia__Kolkata, "2026-07-01 12:00", "2026-07-01 06:30"),
            // Shown twice: the earlier.
            (Tz::Europe__Berlin, "2026-10-25 02:30", "2026-10-25 00:30"),
            (Tz::America__New_York, "2026-11-01 01:30", "2026-11-01 05:30"),
            // Left out: an hour after 01:30.
            (Tz::Europe__Berlin, "2026-03-29 02:30", "2026-03-29 01:30"),
            (Tz::America__New_York, "2026-03-08 02:30", "2026-03-08 07:30"),
        ] {
            assert_eq!(utc(shown, zone).as_deref(), Some(expected), "{zone} {shown}");
        }
    }

    #[test]
    fn a_ban_as_text_is_read_as_javascript_reads_it() {
        let expected = DateTime::parse_from_rfc3339("2026-07-01T10:00:00Z").ok().map(|time| time.to_utc());
        for text in [
            "2026-07-01T10:00:00Z",
            "2026-07-01T10:00:00.000Z",
            "2026-07-01T12:00:00+02:00",
            "2026-07-01 10:00:00+00",
            "2026-07-01 12:00:00+02",
            " 2026-07-01 10:00:00.000 ",
            "2026-07-01T10:00:00",
        ] {
            assert_eq!(time_of_text(text, Tz::UTC), expected, "{text}");
        }
        for text in ["", "never", "infinity", "1783000000000", "2026-13-01", "01/07/2026"] {
            assert_eq!(time_of_text(text, Tz::UTC), None, "{text}");
        }
    }
}
