//! Rows of thousands of sleeping databases in little memory: most settings, and most variables of their servers, are
//! equal and stored once.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use dormouse_policy::Spec;
use dormouse_types::Variables;

use super::record::Noted;

/// Maximum number of models: one for each version and configuration of servers, and as many kinds of settings.
const MODELS_MOST: usize = 8;

/// Variables with which others share memory; the newest first.
#[derive(Debug, Default)]
pub(super) struct Models(Mutex<VecDeque<Variables>>);

impl Models {
    /// Frees reserved capacity, and shares equal variables.
    pub(super) fn condense(&self, mut noted: Noted) -> Noted {
        noted.accounts.shrink_to_fit();
        for account in &mut noted.accounts {
            account.verifiers.shrink_to_fit();
        }
        noted.schemas.iter_mut().for_each(Vec::shrink_to_fit);
        noted.globals.shrink_to_fit();
        noted.variables = noted.variables.map(|own| self.share(own));
        noted
    }

    /// The same variables in shared memory.
    pub(super) fn share(&self, own: Variables) -> Variables {
        let mut models = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let shared = models.iter().filter_map(|model| own.like(model));
        if let Some(shared) = shared.min_by_key(Variables::own_bytes) {
            return shared;
        }
        models.truncate(MODELS_MOST - 1);
        models.push_front(own.clone());
        own
    }
}

/// Settings with which others share memory, each with its text; the newest first.
#[derive(Debug, Default)]
pub(super) struct Specs(VecDeque<(String, Arc<Spec>)>);

impl Specs {
    /// Reads settings; those whose text is one of the last ones are not read again, and share its memory.
    pub(super) fn read(&mut self, text: String) -> serde_json::Result<Arc<Spec>> {
        if let Some((_, spec)) = self.0.iter().find(|(known, _)| *known == text) {
            return Ok(Arc::clone(spec));
        }
        let spec: Arc<Spec> = Arc::new(serde_json::from_str(&text)?);
        self.0.truncate(MODELS_MOST - 1);
        self.0.push_front((text, Arc::clone(&spec)));
        Ok(spec)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_variables_are_stored_once() {
        let models = Models::default();
        let noted = |socket: &str| {
            let all = [("version", "11.8"), ("sql_mode", ""), ("socket", socket)];
            Noted {
                variables: Some(all.into_iter().collect()),
                ..Noted::default()
            }
        };
        let [first, second] = ["/1", "/2"].map(|socket| models.condense(noted(socket)));
        assert_eq!(second, noted("/2"));
        let own = |noted: Noted| noted.variables.unwrap().own_bytes();
        assert_eq!((own(first), own(second)), (0, "socket=/2\n".len()));
    }

    #[test]
    fn the_number_of_models_is_limited() {
        let models = Models::default();
        for n in 0..3 * MODELS_MOST {
            let own: Variables = [(format!("v{n}"), "1")].into_iter().collect();
            assert_eq!(models.share(own.clone()), own);
        }
        assert_eq!(models.0.lock().unwrap().len(), MODELS_MOST);
    }

    #[test]
    fn equal_settings_are_stored_once() {
        let mut specs = Specs::default();
        let mut read = |text: &str| specs.read(text.to_owned()).unwrap();
        let [first, other, again] = ["{}", r#"{"prewake":true}"#, "{}"].map(&mut read);
        assert!(Arc::ptr_eq(&first, &again));
        assert_eq!((first.prewake, other.prewake), (false, true));
        assert!(specs.read("{".to_owned()).is_err());
    }
}
