//! Reads the settings: flags win over the environment, over the `.env` file, over the TOML file, over
//! the defaults. A wrong value is refused, whatever its source, under the name that the user wrote.

use std::collections::HashMap;
use std::env;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use toml::Value;

use super::Config;
use super::settings::{SETTINGS, Setting};

/// Read when it exists and no other file is named.
const DEFAULT_FILE: &str = "florin.toml";

/// Holds variables that are not in the environment.
const DOT_ENV_FILE: &str = ".env";

/// Names the TOML file when no flag does.
const FILE_VARIABLE: &str = "FLORIN_CONFIG";

/// Where brokers listen for TLS.
const AMQPS_PORT: u16 = 5671;

/// Why the settings cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A setting has a value that it cannot have.
    #[error("{origin} {given}; it must be {allowed}")]
    WrongValue {
        /// The setting, as the user wrote it: a flag, a variable, or a key and its file.
        origin: String,
        /// What was given, or that it is not shown.
        given: String,
        /// What can be given.
        allowed: String,
    },
    /// The file has an unknown key.
    #[error("{file}: there is no setting {key:?}; the settings are {known}")]
    UnknownKey {
        file: String,
        key: String,
        /// The known keys.
        known: String,
    },
    /// Each setting is valid, but not together with another one.
    #[error("{0}")]
    Incompatible(&'static str),
    /// A file is not in the form it should be in.
    #[error("{file}: {message}")]
    Malformed {
        file: String,
        /// Where and what, without the text itself, which may hold secrets.
        message: String,
    },
    /// A file cannot be read.
    #[error("{file} cannot be read")]
    Unreadable { file: String, source: io::Error },
    /// A variable is not UTF-8.
    #[error("{variable} is not valid UTF-8")]
    NotUnicode { variable: &'static str },
    /// The values are valid one by one, but make no configuration: a bug in Florin.
    #[error("the settings are inconsistent")]
    Inconsistent(#[source] Box<toml::de::Error>),
}

/// A setting given on the command line.
#[derive(Debug, Clone)]
pub struct Flag {
    /// As the user writes it, with its dashes.
    pub name: &'static str,
    /// Section and field.
    pub key: &'static str,
    /// What was given.
    pub text: String,
}

/// A file that was read.
#[derive(Debug, Clone)]
pub struct SourceFile {
    /// As the user would name it.
    pub name: String,
    /// What it holds.
    pub text: String,
}

/// All that settings are read from.
#[derive(Debug, Default)]
pub struct Sources {
    /// The command line.
    pub flags: Vec<Flag>,
    /// The environment.
    pub environment: HashMap<String, String>,
    /// The `.env` file.
    pub dot_env: Option<SourceFile>,
    /// The TOML file.
    pub file: Option<SourceFile>,
}

/// A value with its key, checked.
type Given = (&'static str, Option<Value>);

impl Sources {
    /// Reads the environment and the files of this process. `file` is the TOML file to read instead of the
    /// usual one.
    ///
    /// # Errors
    ///
    /// When a file cannot be read, or a variable is not UTF-8.
    pub fn of_process(flags: Vec<Flag>, file: Option<&Path>) -> Result<Self, Error> {
        let mut environment = HashMap::new();
        let variables = SETTINGS.iter().flat_map(|setting| setting.variables);
        for variable in variables.chain([&FILE_VARIABLE]) {
            if let Some(text) = env::var_os(variable) {
                let text = text.into_string().map_err(|_| Error::NotUnicode { variable })?;
                environment.insert((*variable).to_owned(), text);
            }
        }
        let named = environment.get(FILE_VARIABLE).filter(|path| !path.is_empty()).map(PathBuf::from);
        let file = match file.map(Path::to_owned).or(named) {
            Some(path) => Some(read(&path)?),
            None => read_if_there(Path::new(DEFAULT_FILE))?,
        };
        Ok(Self { flags, environment, dot_env: read_if_there(Path::new(DOT_ENV_FILE))?, file })
    }
}

fn read(path: &Path) -> Result<SourceFile, Error> {
    let name = path.display().to_string();
    match fs::read_to_string(path) {
        Ok(text) => Ok(SourceFile { name, text }),
        Err(source) => Err(Error::Unreadable { file: name, source }),
    }
}

fn read_if_there(path: &Path) -> Result<Option<SourceFile>, Error> {
    match read(path) {
        Ok(file) => Ok(Some(file)),
        Err(Error::Unreadable { source, .. }) if source.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

impl Config {
    /// Puts the settings together.
    ///
    /// # Errors
    ///
    /// When a value is wrong, values do not go together, or a file is malformed.
    pub fn load(sources: &Sources) -> Result<Self, Error> {
        let layers = [
            sources.file.as_ref().map(of_file).transpose()?.unwrap_or_default(),
            sources.dot_env.as_ref().map(of_dot_env).transpose()?.unwrap_or_default(),
            of_variables(&sources.environment, "")?,
            sources.flags.iter().map(of_flag).collect::<Result<_, _>>()?,
        ];
        let mut settings = HashMap::new();
        for (key, value) in layers.into_iter().flat_map(with_host_over_url) {
            match value {
                Some(value) => settings.insert(key, value),
                None => settings.remove(key),
            };
        }
        let has_port = settings.contains_key("broker.port");
        let mut config =
            Self::deserialize(sections(settings)).map_err(|error| Error::Inconsistent(Box::new(error)))?;
        if config.broker.tls && !has_port {
            config.broker.port = AMQPS_PORT;
        }
        config.incompatible().map_or(Ok(config), |text| Err(Error::Incompatible(text)))
    }
}

/// The settings as a file would have them: a table for each section.
fn sections(settings: HashMap<&'static str, Value>) -> toml::Table {
    let mut sections = toml::Table::new();
    for (key, value) in settings {
        let Some((section, field)) = key.split_once('.') else { unreachable!("{key} has no section") };
        let fields = sections.entry(section).or_insert_with(|| toml::Table::new().into());
        if let Value::Table(fields) = fields {
            fields.insert(field.to_owned(), value);
        }
    }
    sections
}

/// A host replaces a URL of a lower layer. It has the higher precedence, and would have no effect
/// otherwise.
fn with_host_over_url(mut layer: Vec<Given>) -> Vec<Given> {
    let sets = |layer: &[Given], key| layer.iter().any(|(given, _)| *given == key);
    for (host, url) in [("broker.host", "broker.urls"), ("database.host", "database.url")] {
        if sets(&layer, host) && !sets(&layer, url) {
            layer.push((url, None));
        }
    }
    layer
}

fn of_file(file: &SourceFile) -> Result<Vec<Given>, Error> {
    let sections: toml::Table =
        file.text.parse().map_err(|error: toml::de::Error| malformed_toml(file, &error))?;
    let mut given = Vec::new();
    for (section, fields) in &sections {
        let Value::Table(fields) = fields else { return Err(unknown_key(file, section)) };
        for (field, value) in fields {
            let key = format!("{section}.{field}");
            let setting = Setting::of_key(&key).ok_or_else(|| unknown_key(file, &key))?;
            given.push(checked(setting, value.clone(), || format!("{key} in {}", file.name))?);
        }
    }
    Ok(given)
}

/// Names the line. The error's own text would quote it.
fn malformed_toml(file: &SourceFile, error: &toml::de::Error) -> Error {
    let before = error.span().and_then(|span| file.text.get(..span.start)).unwrap_or_default();
    let line = before.matches('\n').count() + 1;
    Error::Malformed { file: file.name.clone(), message: format!("line {line}: {}", error.message()) }
}

fn unknown_key(file: &SourceFile, key: &str) -> Error {
    let section = key.split('.').next().unwrap_or_default();
    let of_section = |setting: &&Setting| setting.key.split('.').next() == Some(section);
    let known: Vec<&str> = SETTINGS.iter().filter(of_section).map(|setting| setting.key).collect();
    let known = match known.as_slice() {
        [] => format!("in {}", all_sections().join(", ")),
        known => known.join(", "),
    };
    Error::UnknownKey { file: file.name.clone(), key: key.to_owned(), known }
}

/// Every section once, in the order of the table of settings.
fn all_sections() -> Vec<String> {
    let mut sections: Vec<String> =
        SETTINGS.iter().filter_map(|setting| Some(format!("[{}]", setting.key.split_once('.')?.0))).collect();
    sections.dedup();
    sections
}

fn of_dot_env(file: &SourceFile) -> Result<Vec<Given>, Error> {
    let variables = dotenvy::from_read_iter(file.text.as_bytes()).collect::<Result<_, _>>();
    // The error quotes the line.
    let variables = variables.map_err(|_| Error::Malformed {
        file: file.name.clone(),
        message: "a line is not NAME=value (a value with spaces or # needs quotes)".into(),
    })?;
    of_variables(&variables, &format!(" in {}", file.name))
}

/// An empty variable counts as not set: a compose file passes on unset variables as empty.
fn of_variables(variables: &HashMap<String, String>, place: &str) -> Result<Vec<Given>, Error> {
    let set = |name: &&&str| variables.get(**name).is_some_and(|text| !text.is_empty());
    let given = SETTINGS.iter().filter_map(|setting| Some((setting, setting.variables.iter().find(set)?)));
    given
        .map(|(setting, name)| {
            checked(setting, setting.allowed.value_of(&variables[*name]), || format!("{name}{place}"))
        })
        .collect()
}

fn of_flag(flag: &Flag) -> Result<Given, Error> {
    let Some(setting) = Setting::of_key(flag.key) else { unreachable!("no setting {}", flag.key) };
    checked(setting, setting.allowed.value_of(&flag.text), || flag.name.to_owned())
}

fn checked(setting: &Setting, value: Value, origin: impl Fn() -> String) -> Result<Given, Error> {
    let value = setting.allowed.kept(value);
    if setting.allowed.accepts(&value) {
        return Ok((setting.key, Some(value)));
    }
    let given = match setting.allowed.unknown_parameter(&value) {
        Some(parameter) => format!("has a wrong value (not shown): there is no parameter {parameter:?}"),
        None if setting.allowed.is_secret() => "has a wrong value (not shown)".to_owned(),
        None => format!("is {value}"),
    };
    Err(Error::WrongValue { origin: origin(), given, allowed: setting.allowed.to_string() })
}
