//! A first certificate, signed by its own key: it encrypts, but clients must be told to trust it.

use chrono::{Datelike, Days, Utc};
use rcgen::{CertificateParams, DnType, KeyPair, date_time_ymd};

/// A certificate and its key, in PEM.
pub(crate) struct SelfSigned {
    pub certificate: String,
    pub private_key: String,
}

impl SelfSigned {
    /// One for `names`, which may be DNS names and addresses, from today on for this many days. Fails if a name can
    /// be neither.
    pub(crate) fn new(names: &[String], days: u32) -> Result<Self, rcgen::Error> {
        let mut parameters = CertificateParams::new(names)?;
        let name = names.first().map_or("bucketport", String::as_str);
        parameters.distinguished_name.push(DnType::CommonName, name);
        let date = |date: chrono::NaiveDate| {
            let [month, day] = [date.month(), date.day()].map(|part| u8::try_from(part).expect("at most 31"));
            date_time_ymd(date.year(), month, day)
        };
        let today = Utc::now().date_naive();
        parameters.not_before = date(today);
        parameters.not_after = date(today.checked_add_days(Days::new(days.into())).unwrap_or(today));
        let key = KeyPair::generate()?;
        let certificate = parameters.self_signed(&key)?;
        Ok(Self { certificate: certificate.pem(), private_key: key.serialize_pem() })
    }
}
