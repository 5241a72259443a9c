//! The settings as a page of the reference, made from `florin.example.toml`, which has a test of its own.

use std::fmt::Write;

use super::settings::Setting;

const EXAMPLE: &str = include_str!("../../../../florin.example.toml");

/// What the example says of one setting.
struct Described {
    setting: &'static Setting,
    /// Without the variables in brackets.
    description: String,
    /// As TOML. None when the setting is not set by default.
    default: Option<&'static str>,
}

/// All settings in Markdown.
#[must_use]
pub fn settings_reference() -> String {
    let mut page = String::from(
        "# Settings\n\n\
         `florin.example.toml` has all of them with their defaults. Flags come before environment variables, those before a \
         `.env` file, that before `florin.toml`, and that before the defaults. `florin config` shows the settings in effect.\n",
    );
    let mut last_section = "";
    for Described { setting, description, default } in described() {
        let (section, field) = setting.key.split_once('.').unwrap_or_default();
        if section != last_section {
            let _ = writeln!(page, "\n## `[{section}]`");
            last_section = section;
        }
        let variables: Vec<String> = setting.variables.iter().map(|name| format!("`{name}`")).collect();
        let default = default.map_or("not set".to_owned(), |default| format!("`{default}`"));
        let _ = write!(
            page,
            "\n### `{section}.{field}`\n\n{description}\n\n\
             - Default: {default}\n- Values: {}\n- Environment variable: {}\n",
            setting.allowed,
            variables.join(" or ")
        );
    }
    page
}

/// Reads the example: a comment above each setting, which is itself a comment when it is not set by default.
fn described() -> Vec<Described> {
    let (mut section, mut comment) = ("", Vec::new());
    let mut described = Vec::new();
    for line in EXAMPLE.lines() {
        let text = line.strip_prefix("# ").unwrap_or(line);
        let field = text.split_once(" = ").map_or("", |(field, _)| field);
        if let Some(name) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            (section, comment) = (name, Vec::new());
        } else if let Some(setting) = Setting::of_key(&format!("{section}.{field}")) {
            let is_set = !line.starts_with('#');
            let default = text.split_once(" = ").map(|(_, default)| default).filter(|_| is_set);
            let comment = std::mem::take(&mut comment).join(" ");
            let description = comment.rsplit_once(" [").map_or(comment.as_str(), |(text, _)| text).to_owned();
            described.push(Described { setting, description, default });
        } else {
            comment.push(text);
        }
    }
    described
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::settings::SETTINGS;

    /// Each setting has a comment of its own, which ends with its variables in brackets.
    #[test]
    fn every_setting_is_described() {
        let described: Vec<_> = described();
        let keys: Vec<&str> = described.iter().map(|described| described.setting.key).collect();
        assert_eq!(keys, SETTINGS.iter().map(|setting| setting.key).collect::<Vec<_>>());
        for Described { setting, description, .. } in &described {
            let in_brackets = format!("[{}]", setting.variables.join(" or "));
            let comments = EXAMPLE.replace("\n# ", " ");
            assert!(comments.contains(&format!("{description} {in_brackets}")), "{}", setting.key);
            assert!(description.ends_with('.'), "{}: {description}", setting.key);
        }
    }
}
