//! The sources laid over each other. `config` merges them and remembers for each value which of them it is from; what is here turns a source
//! into keys and values, and a remembered source into a place that can be shown.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use config::builder::DefaultState;
use config::{Config, ConfigBuilder, ConfigError, Map, Source, Value, ValueKind};

use super::keys::{CONCURRENCY, Keys, file_key, is_bound, variable};
use super::origin::{Origin, Place};
use super::problem::Problem;
use super::spans::Spans;
use super::toml_values;
use super::unknown_keys::{misplaced, near_miss, unknown_key, unknown_variable};
use super::whole_file;

/// Two underscores: Kubernetes puts `ANTISPOOFD_PORT`, `ANTISPOOFD_SERVICE_HOST` and more into every pod beside a service of this name.
const PREFIX: &str = "ANTISPOOFD__";

/// Far above any settings file; guards against naming a device or an image by mistake.
const MAX_BYTES: u64 = 1 << 20;

/// What all sources say together.
pub(super) struct Layers<'a> {
    pub(super) keys: &'a Keys,
    /// The uppermost value of every key.
    pub(super) values: BTreeMap<String, Value>,
    /// What the origins of the values are the numbers of; a settings file with the places of its values.
    origins: Vec<(Origin, Option<Spans<'a>>)>,
    pub(super) problems: Vec<Problem>,
    pub(super) warnings: Vec<Problem>,
    /// A file could not be read, so that it is not known what is missing or how the values fit together.
    pub(super) incomplete: bool,
}

/// A settings file: its text, or why it has none and what to do.
pub(super) struct Document {
    path: PathBuf,
    text: Result<String, (String, &'static str)>,
}

/// What one source sets, by dotted key.
#[derive(Clone)]
struct Layer(Map<String, Value>);

impl<'a> Layers<'a> {
    pub(super) fn read(
        files: &'a [Document],
        env: &BTreeMap<String, String>,
        overrides: &[(String, String)],
        keys: &'a Keys,
    ) -> Self {
        let (values, origins) = (BTreeMap::new(), Vec::new());
        let mut layers = Self { keys, values, origins, problems: Vec::new(), warnings: Vec::new(), incomplete: false };
        let mut merged = Config::builder().add_source(Layer(keys.defaults().clone().into_iter().collect()));
        for document in files {
            let file = layers.file(document);
            merged = layers.put(merged, file);
        }
        let environment = layers.environment(env);
        merged = layers.put(merged, environment);
        let flags = layers.flags(overrides);
        merged = layers.put(merged, flags);
        let root = merged.build().and_then(|merged| merged.collect()).unwrap_or_default();
        layers.values = keys.sort(root).0.into_iter().collect();
        layers
    }

    /// Where `key`, or an item of its list, is set.
    pub(super) fn place(&self, key: &str, item: Option<usize>) -> Place {
        self.place_of(key, item, self.values.get(key))
    }

    /// Has a value come from `origin`.
    pub(super) fn set(&mut self, key: &str, value: impl Into<ValueKind>, origin: Origin) {
        let number = self.number(origin);
        self.values.insert(key.to_owned(), Value::new(Some(&number), value));
    }

    /// The source of `key`; of a settings file without the line.
    pub(super) fn origin(&self, key: &str) -> Origin {
        let known = self.values.get(key).and_then(|value| self.known(value));
        known.map_or(Origin::Default, |(origin, _)| origin.clone())
    }

    fn known(&self, value: &Value) -> Option<&(Origin, Option<Spans<'a>>)> {
        self.origins.get(value.origin()?.parse::<usize>().ok()?)
    }

    fn place_of(&self, key: &str, item: Option<usize>, value: Option<&Value>) -> Place {
        match value.and_then(|value| self.known(value)) {
            Some((_, Some(spans))) => spans.place(key, item),
            Some((origin, None)) => Place::new(key, origin.clone()),
            None => Place::new(key, Origin::Default),
        }
    }

    /// What `config` remembers of a source that is no file.
    fn number(&mut self, origin: Origin) -> String {
        self.origins.push((origin, None));
        (self.origins.len() - 1).to_string()
    }

    /// Puts a source over those before it.
    ///
    /// A secret and its `x_file` are one setting with two spellings. Both in one source contradict each other. Across sources the upper
    /// one wins, as for every other key: a variable over a file that names a mounted secret is there to be used.
    /// An empty value says nothing about the other spelling.
    fn put(
        &mut self,
        below: ConfigBuilder<DefaultState>,
        mut layer: Map<String, Value>,
    ) -> ConfigBuilder<DefaultState> {
        let is_set = |value: &&Value| !matches!(&value.kind, ValueKind::String(text) if text.trim().is_empty());
        for secret in self.keys.secrets() {
            let file = file_key(secret);
            match (layer.get(secret).filter(is_set), layer.get(&file).filter(is_set)) {
                (here @ Some(_), beside @ Some(_)) => {
                    let place = self.place_of(secret, None, here);
                    let problem = Problem::error(place, format!("is set together with {file}"), "keep one of the two");
                    self.problems.push(problem.and(self.place_of(&file, None, beside)));
                }
                (Some(_), None) => drop(layer.insert(file, Value::new(None, ""))),
                (None, Some(_)) => drop(layer.insert(secret.to_owned(), Value::new(None, ""))),
                (None, None) => {}
            }
        }
        if let (Some(number), Some((bound, value))) =
            (layer.get(CONCURRENCY), layer.iter().find(|(key, _)| is_bound(key)))
        {
            let place = self.place_of(CONCURRENCY, None, Some(number));
            let problem = Problem::error(place, format!("is set together with {bound}"), "keep one of the two");
            self.problems.push(problem.and(self.place_of(bound, None, Some(value))));
            layer.remove(CONCURRENCY);
        }
        below.add_source(Layer(layer))
    }

    fn file(&mut self, Document { path, text }: &'a Document) -> Map<String, Value> {
        let (keys, whole) = (self.keys, Origin::File { path: path.clone(), line: 0, column: 0 });
        let text = match text {
            Ok(text) => text,
            Err((what, remedy)) => return self.broken([Problem::error(Place::new("", whole), what, *remedy)]),
        };
        let spans = Spans::of(text, path, keys);
        let syntax: Vec<Problem> = spans.syntax().collect();
        if !syntax.is_empty() {
            return self.broken(syntax);
        }
        let number = self.origins.len().to_string();
        let root = toml_values::table(spans.root(), Some(&number));
        let (known, others) = keys.sort(root);
        let mut problems: Vec<Problem> =
            others.iter().map(|(key, value)| misplaced(spans.misplaced(key), value, keys)).collect();
        problems.sort_by_key(|problem| match problem.origins().next() {
            Some(Origin::File { line, column, .. }) => (*line, *column),
            _ => (0, 0),
        });
        self.problems.extend(problems);
        self.origins.push((whole, Some(spans)));
        known
    }

    fn broken(&mut self, problems: impl IntoIterator<Item = Problem>) -> Map<String, Value> {
        self.incomplete = true;
        self.problems.extend(problems);
        Map::new()
    }

    /// What the variables `ANTISPOOFD__…` set.
    fn environment(&mut self, env: &BTreeMap<String, String>) -> Map<String, Value> {
        let mut layer = Map::new();
        for (name, text) in env {
            let Some(rest) = name.strip_prefix(PREFIX) else {
                self.warnings.extend(near_miss(name, self.keys));
                continue;
            };
            let key = rest.to_lowercase().replace("__", ".");
            let origin = Origin::Env { name: name.clone() };
            if !self.keys.contains(&key) || variable(&key) != *name {
                self.problems.push(unknown_variable(name, &key, self.keys));
            } else if text.contains(char::REPLACEMENT_CHARACTER) {
                let remedy = format!("set {name} to UTF-8 text");
                self.problems.push(Problem::error(Place::new(&key, origin), "is not UTF-8 text", remedy));
            } else {
                let value = self.written(&key, text, origin);
                layer.insert(key, value);
            }
        }
        layer
    }

    /// What the flags `--set key=value` set; the last of a key wins.
    fn flags(&mut self, overrides: &[(String, String)]) -> Map<String, Value> {
        let mut layer = Map::new();
        for (key, text) in overrides {
            let key = key.trim();
            let origin = Origin::Flag { key: key.to_owned() };
            let place = Place::new(key, origin.clone());
            if !self.keys.contains(key) {
                self.problems.push(unknown_key(place, self.keys, str::to_owned));
                continue;
            }
            // The URLs may stand there: not all hold a password.
            if self.keys.is_credential(key) && !text.trim().is_empty() {
                self.problems.push(Problem::error(
                    place,
                    "is a secret, and flags can be read by every user of the machine",
                    format!(
                        "set {key}_file to the path of a file that holds it, or {} in the environment",
                        variable(key)
                    ),
                ));
                continue;
            }
            if self.keys.is_secret(key) && text.contains('@') {
                self.warnings.push(Problem::warning(
                    place,
                    "holds credentials, and flags can be read by every user of the machine",
                    format!("set {key}_file or {} instead", variable(key)),
                ));
            }
            let value = self.written(key, text, origin);
            layer.insert(key.to_owned(), value);
        }
        layer
    }

    /// What came as text has the type of the key's default.
    fn written(&mut self, key: &str, text: &str, origin: Origin) -> Value {
        let text = text.trim();
        let default = self.keys.defaults().get(if is_bound(key) { CONCURRENCY } else { key });
        let default = default.map(|default| &default.kind);
        let number = self.number(origin);
        let items = || text.split(',').filter(|_| !text.is_empty()).map(|item| Value::new(Some(&number), item.trim()));
        let digits = text.replace('_', "");
        let kind = match default {
            Some(ValueKind::Array(_)) => Some(ValueKind::Array(items().collect())),
            Some(ValueKind::Boolean(_)) => text.parse().ok().map(ValueKind::Boolean),
            Some(ValueKind::I64(_) | ValueKind::Float(_)) => {
                digits.parse().map(ValueKind::I64).or_else(|_| digits.parse().map(ValueKind::Float)).ok()
            }
            _ => None,
        };
        Value::new(Some(&number), kind.unwrap_or_else(|| text.into()))
    }
}

impl Document {
    pub(super) fn read(path: PathBuf) -> Self {
        let text = text_of(&path);
        Self { path, text }
    }
}

fn text_of(path: &Path) -> Result<String, (String, &'static str)> {
    let bytes = whole_file::read(path, MAX_BYTES).map_err(|error| {
        let remedy = "name an existing, readable TOML file with --config or ANTISPOOFD_CONFIG";
        (format!("the settings file cannot be read: {error}"), remedy)
    })?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(("the settings file is larger than 1 MiB".to_owned(), "name a TOML file with settings"));
    }
    let not_text = "the settings file is not UTF-8 text";
    String::from_utf8(bytes).map_err(|_| (not_text.to_owned(), "save it as UTF-8, which TOML demands"))
}

impl Source for Layer {
    fn clone_into_box(&self) -> Box<dyn Source + Send + Sync> {
        Box::new(self.clone())
    }

    fn collect(&self) -> Result<Map<String, Value>, ConfigError> {
        Ok(self.0.clone())
    }
}

/// Shows nothing: some of the values are secrets.
impl std::fmt::Debug for Layer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Layer")
    }
}
