//! Layers put on top of each other.

use super::entry::Layer;
use super::keys::{Keys, file_key};
use super::problem::Problem;

/// What is set after all layers so far: the uppermost entry of every key.
pub(super) struct Stack<'a> {
    keys: &'a Keys,
    default: &'a Layer,
    top: Layer,
}

impl<'a> Stack<'a> {
    pub(super) fn new(keys: &'a Keys, default: &'a Layer) -> Self {
        Self { keys, default, top: default.clone() }
    }

    /// Puts `layer` over what is there.
    ///
    /// A secret and its `x_file` are one setting with two spellings. Both in one layer contradict each other. Across layers the upper
    /// one wins, as for every other key: whoever sets a variable over a file that names a mounted secret means the variable.
    /// An empty value says nothing about the other spelling.
    pub(super) fn put(&mut self, layer: Layer, problems: &mut Vec<Problem>) {
        for secret in self.keys.secrets() {
            let file = file_key(secret);
            let here = layer.get(secret).filter(|entry| !entry.value.is_empty());
            let beside = layer.get(&file).filter(|entry| !entry.value.is_empty());
            match (here, beside) {
                (Some(here), Some(beside)) => problems.push(
                    Problem::error(here.place.clone(), format!("is set together with {file}"), "keep one of the two")
                        .and(beside.place.clone()),
                ),
                (Some(_), None) => self.reset(&file),
                (None, Some(_)) => self.clear(secret),
                (None, None) => {}
            }
        }
        self.top.extend(layer);
    }

    pub(super) fn into_top(self) -> Layer {
        self.top
    }

    fn reset(&mut self, key: &str) {
        if let Some(default) = self.default.get(key) {
            self.top.insert(key.to_owned(), default.clone());
        }
    }

    /// A secret with a default of its own (`amqp.url`) gives way to the file too, so it is taken out.
    fn clear(&mut self, key: &str) {
        self.top.remove(key);
    }
}
