//! What is noted of thousands of sleeping databases in little memory: the variables of their
//! servers are mostly the same.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use dormouse_types::Variables;

use super::record::Noted;

/// Limit of the kinds of servers that are distinguished, by version and configuration.
const MODELS_MOST: usize = 8;

/// Variables after which others are modelled; the newest first.
#[derive(Debug, Default)]
pub(super) struct Models(Mutex<VecDeque<Variables>>);

impl Models {
    /// The same, with nothing in reserve and what is alike kept once.
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

    fn share(&self, own: Variables) -> Variables {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn databases_that_are_alike_share_what_is_noted_of_them() {
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
    fn only_a_few_kinds_are_kept() {
        let models = Models::default();
        for n in 0..3 * MODELS_MOST {
            let own: Variables = [(format!("v{n}"), "1")].into_iter().collect();
            assert_eq!(models.share(own.clone()), own);
        }
        assert_eq!(models.0.lock().unwrap().len(), MODELS_MOST);
    }
}
