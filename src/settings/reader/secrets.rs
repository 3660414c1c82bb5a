//! Secrets, each with the place that is to blame for it.

use super::{Reader, Wrong};
use crate::settings::keys::file_key;
use crate::settings::kind::Kind;
use crate::settings::origin::{Origin, Place};
use crate::settings::secret_file;

/// A secret in the clear, with the place to blame.
pub(in crate::settings) struct Found {
    pub(in crate::settings) text: String,
    pub(in crate::settings) place: Place,
}

impl Reader<'_> {
    /// A secret, from its file, from the key itself or, where neither is set, from the variable `fallback`. White space around it is
    /// cut off. None: not set, or unreadable, which is noted.
    pub(in crate::settings) fn secret(&mut self, key: &str, fallback: Option<&str>) -> Option<Found> {
        let named = self.path(&file_key(key));
        self.reads(key, Kind::Secret);
        let found = match named {
            Some(path) => {
                let named_by = self.place(&file_key(key));
                match secret_file::read(&path, key, &named_by, &mut self.warnings) {
                    Ok((text, place)) => Some(Found { text, place }),
                    Err(problem) => {
                        self.unsound.insert(key.to_owned());
                        self.problems.push(problem);
                        None
                    }
                }
            }
            None => self.written_secret(key).or_else(|| self.fallback_secret(key, fallback?)),
        }?;
        self.secret_places.insert(key.to_owned(), found.place.clone());
        Some(found)
    }

    fn written_secret(&mut self, key: &str) -> Option<Found> {
        let entry = self.top.get(key)?;
        match entry.value.text().map(str::trim) {
            Some("") => None,
            Some(text) => Some(Found { text: text.to_owned(), place: entry.place.clone() }),
            None => {
                self.note(entry, Wrong::kind(&entry.value, "a string in double quotes"));
                None
            }
        }
    }

    fn fallback_secret(&self, key: &str, variable: &str) -> Option<Found> {
        let text = self.env.get(variable).map(|text| text.trim()).filter(|text| !text.is_empty())?;
        let place = Place::new(key, Origin::Env { name: variable.to_owned() });
        Some(Found { text: text.to_owned(), place })
    }
}
