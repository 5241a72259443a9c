//! URL parameters that name files. RabbitMQ and PostgreSQL both define them; the client libraries know
//! neither.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

/// Characters that are percent-encoded in a parameter.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'/').remove(b'.').remove(b'-').remove(b'_');

/// Removes these parameters from a URL and returns them. If one appears twice, the last counts.
#[must_use]
pub fn take_parameters<const N: usize>(url: &str, names: [&str; N]) -> (String, [Option<String>; N]) {
    let mut taken = [const { None }; N];
    // A password may contain a question mark; what follows it then is not a parameter, and stays.
    let Some((address, parameters)) = url.rsplit_once('?') else { return (url.to_owned(), taken) };
    let mut kept = Vec::new();
    for parameter in parameters.split('&') {
        let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        match names.iter().position(|known| *known == name) {
            Some(place) => taken[place] = Some(percent_decode_str(value).decode_utf8_lossy().into_owned()),
            None => kept.push(parameter),
        }
    }
    let url = if kept.is_empty() { address.to_owned() } else { format!("{address}?{}", kept.join("&")) };
    (url, taken)
}

/// Adds these parameters to a URL.
#[must_use]
pub fn with_parameters<'a>(
    url: String,
    parameters: impl IntoIterator<Item = (&'static str, Option<&'a str>)>,
) -> String {
    let given = parameters.into_iter().filter_map(|(name, value)| Some((name, value?)));
    given.fold(url, |url, (name, value)| {
        // A question mark before the host is part of the password.
        let has_parameters = url.rsplit('@').next().is_some_and(|address| address.contains('?'));
        let separator = if has_parameters { '&' } else { '?' };
        format!("{url}{separator}{name}={}", utf8_percent_encode(value, ENCODED))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_taken_and_given_back() {
        let cases = [
            ("a://h/d", "a://h/d", [None, None]),
            ("a://h/d?x=1&c=/my%20file&y", "a://h/d?x=1&y", [Some("/my file"), None]),
            ("a://h/d?c=1&k=2&c=3", "a://h/d", [Some("3"), Some("2")]),
            ("a://u:p?w@h/d", "a://u:p?w@h/d", [None, None]),
            ("a://u:p?w@h/d?k=2", "a://u:p?w@h/d", [None, Some("2")]),
        ];
        for (url, rest, values) in cases {
            let (left, taken) = take_parameters(url, ["c", "k"]);
            assert_eq!((left.as_str(), taken.each_ref().map(Option::as_deref)), (rest, values), "{url}");
            let again = with_parameters(left, ["c", "k"].into_iter().zip(values));
            assert_eq!(take_parameters(&again, ["c", "k"]).1, taken, "{again}");
        }
    }
}
