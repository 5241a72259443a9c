use super::load::SourceFile;
use super::settings::SETTINGS;
use super::*;

use lapin::uri::AMQPUri;

const SECRET: &str = "s3cret";

fn sources() -> Sources {
    Sources::default()
}

impl Sources {
    fn flag(mut self, name: &'static str, key: &'static str, text: &str) -> Self {
        self.flags.push(Flag { name, key, text: text.into() });
        self
    }

    fn variable(mut self, name: &str, text: &str) -> Self {
        self.environment.insert(name.into(), text.into());
        self
    }

    fn dot_env(mut self, text: &str) -> Self {
        self.dot_env = Some(SourceFile { name: ".env".into(), text: text.into() });
        self
    }

    fn file(mut self, text: &str) -> Self {
        self.file = Some(SourceFile { name: "florin.toml".into(), text: text.into() });
        self
    }

    fn load(&self) -> Config {
        Config::load(self).unwrap()
    }

    fn refusal(&self) -> String {
        Config::load(self).unwrap_err().to_string()
    }
}

#[test]
fn nothing_given_means_the_defaults() {
    let config = sources().load();
    assert_eq!(config, Config::default());
    assert_eq!(config.broker.url(), "amqp://guest:guest@127.0.0.1:5672/%2F");
    assert_eq!(config.database.url(), "postgres://florin@127.0.0.1:5432/florin?sslmode=prefer");
}

#[test]
fn the_shipped_file_is_the_defaults_and_names_every_setting() {
    let example = include_str!("../../../../florin.example.toml");
    assert_eq!(sources().file(example).load(), Config::default());
    for setting in SETTINGS {
        let (_, field) = setting.key.split_once('.').unwrap();
        let named =
            example.lines().any(|line| line.trim_start_matches("# ").starts_with(&format!("{field} = ")));
        assert!(named, "{}", setting.key);
        for variable in setting.variables {
            assert!(example.contains(variable), "{variable}");
        }
    }
}

/// With every optional setting given, the structs have exactly the fields of the table.
#[test]
fn the_table_has_every_field() {
    let mut config = Config::default();
    config.broker.urls = vec![SecretUrl::new("amqp://h")];
    config.database.url = Some(SecretUrl::new("postgres://h"));
    config.database.password = Some(Secret::new("p"));
    let file = || Some("/f".into());
    config.broker = Broker { ca_file: file(), cert_file: file(), key_file: file(), ..config.broker };
    config.database = Database { ca_file: file(), cert_file: file(), key_file: file(), ..config.database };
    config.http = Http { cert_file: file(), key_file: file(), client_ca_file: file(), ..config.http };
    let toml: toml::Table = config.to_string().parse().unwrap();
    let fields = toml.iter().flat_map(|(section, fields)| {
        fields.as_table().unwrap().keys().map(move |field| format!("{section}.{field}"))
    });
    let mut fields: Vec<String> = fields.collect();
    let mut keys: Vec<&str> = SETTINGS.iter().map(|setting| setting.key).collect();
    fields.sort_unstable();
    keys.sort_unstable();
    assert_eq!(fields, keys);
}

#[test]
fn later_sources_win() {
    let file = "[http]\nport = 1";
    let dot_env = "SERVER_PORT=2\n# a comment\n";
    let cases = [
        (sources(), 9000),
        (sources().file(file), 1),
        (sources().file(file).dot_env(dot_env), 2),
        (sources().file(file).dot_env(dot_env).variable("SERVER_PORT", "3"), 3),
        (sources().file(file).variable("SERVER_PORT", ""), 1),
        (sources().variable("SERVER_PORT", "3").flag("--port", "http.port", "4"), 4),
        (sources().file(file).flag("--port", "http.port", "4"), 4),
    ];
    for (sources, port) in cases {
        assert_eq!(sources.load().http.port, port, "{sources:?}");
    }
}

#[test]
fn the_variables_of_the_original_work() {
    let config = sources()
        .dot_env(
            "DB_HOST=db\nDB_PORT=5433\nDB_USER=owner\nDB_PASSWORD='p@:/?#[]% 1'\nDB_NAME=\"my wallets\"\n\
             SSL_MODE=disable\nBR_HOST=broker\nBR_PORT=5673\nBR_USER=me\nBR_PASSWORD=0123\nSERVER_PORT=80\n",
        )
        .load();
    assert_eq!(config.broker.url(), "amqp://me:0123@broker:5673/%2F");
    let database = config.database.url();
    assert_eq!(
        database,
        "postgres://owner:p%40%3A%2F%3F%23%5B%5D%25%201@db:5433/my%20wallets?sslmode=disable"
    );
    let parsed: tokio_postgres::Config = database.parse().unwrap();
    assert_eq!(parsed.get_password(), Some(b"p@:/?#[]% 1".as_slice()));
    assert_eq!(parsed.get_dbname(), Some("my wallets"));
    assert_eq!((config.database.ssl_mode, config.http.port), (SslMode::Disable, 80));
}

#[test]
fn a_broker_password_survives_its_url() {
    let uri: AMQPUri = sources().variable("BR_PASSWORD", "p@:/?#[]% 1").load().broker.url().parse().unwrap();
    assert_eq!(uri.authority.userinfo.password, "p@:/?#[]% 1");
    assert_eq!(uri.vhost, "/");
}

#[test]
fn a_socket_folder_is_a_database_host() {
    let url = sources().variable("DB_HOST", "/run/postgresql").load().database.url();
    let parsed: tokio_postgres::Config = url.parse().unwrap();
    assert_eq!(parsed.get_hosts(), [tokio_postgres::config::Host::Unix("/run/postgresql".into())]);
}

#[test]
fn a_url_replaces_the_parts_unless_a_later_source_sets_the_host() {
    let file = "[broker]\nurls = \"amqp://in-file/%2f\"";
    let cases = [
        (sources().variable("AMQP_URL", "amqp://url/v").variable("BR_HOST", "part"), "amqp://url/v"),
        (sources().file(file).variable("BR_PORT", "1"), "amqp://in-file/%2f"),
        (sources().file(file).variable("BR_HOST", "part"), "amqp://guest:guest@part:5672/%2F"),
        (
            sources().variable("BR_HOST", "part").flag("--amqp-url", "broker.urls", "amqp://u:p@flag"),
            "amqp://u:p@flag",
        ),
        // The virtual host with the empty name is not what this says to people.
        (sources().variable("AMQP_URL", "amqp://u:p@h:1/"), "amqp://u:p@h:1/%2F"),
        (sources().variable("AMQP_URL", "amqp://a/v, amqp://b/v"), "amqp://a/v,amqp://b/v"),
        (sources().file("broker.urls = [\"amqp://a/v\", \"amqp://b/v\"]"), "amqp://a/v,amqp://b/v"),
    ];
    for (sources, url) in cases {
        assert_eq!(sources.load().broker.url(), url, "{sources:?}");
    }
}

#[test]
fn wrong_values_are_named_as_they_were_written() {
    let port = "it must be a whole number from 1 to 65535";
    let cases = [
        (sources().variable("BR_PORT", "abc"), format!("BR_PORT is \"abc\"; {port}")),
        (sources().variable("BR_PORT", "0"), format!("BR_PORT is 0; {port}")),
        (sources().dot_env("BR_PORT=70000"), format!("BR_PORT in .env is 70000; {port}")),
        (sources().file("broker.port = -1"), format!("broker.port in florin.toml is -1; {port}")),
        (sources().file("broker.port = \"1\""), format!("broker.port in florin.toml is \"1\"; {port}")),
        (sources().file("broker.port = 1.5"), format!("broker.port in florin.toml is 1.5; {port}")),
        (sources().flag("--prefetch", "broker.prefetch", "0"), format!("--prefetch is 0; {port}")),
        (
            sources().variable("SSL_MODE", "verify"),
            "SSL_MODE is \"verify\"; it must be disable or allow or prefer or require or verify-ca or \
             verify-full"
                .into(),
        ),
        (
            sources().variable("LOG_LEVEL", "warning"),
            "LOG_LEVEL is \"warning\"; it must be off, error, warn, info, debug or trace, or levels by \
             module, such as warn,florin=debug"
                .into(),
        ),
        (
            sources().variable("FLORIN_DATABASE_MIGRATE_ON_START", "yes"),
            "FLORIN_DATABASE_MIGRATE_ON_START is \"yes\"; it must be true or false".into(),
        ),
        (
            sources().variable("FLORIN_LOG_FORMAT", "xml"),
            "FLORIN_LOG_FORMAT is \"xml\"; it must be auto or human or json".into(),
        ),
    ];
    for (sources, message) in cases {
        assert_eq!(sources.refusal(), message);
    }
}

/// A value of every kind that is refused in every setting of the kind; it is quoted unless it is secret.
#[test]
fn every_setting_refuses_nonsense_and_names_its_variable() {
    for setting in SETTINGS.iter().filter(|setting| setting.key != "broker.password") {
        let nonsense = "no such=thing/\u{1F4A5}".repeat(300);
        for variable in setting.variables {
            let result = Config::load(&sources().variable(variable, &nonsense));
            if setting.key == "database.password" {
                result.unwrap();
                continue;
            }
            let message = result.unwrap_err().to_string();
            assert!(message.starts_with(&format!("{variable} ")), "{message}");
            assert_eq!(message.contains(&nonsense), !setting.allowed.is_secret(), "{message}");
        }
    }
}

#[test]
fn urls_of_other_things_are_refused() {
    let cases = [
        ("AMQP_URL", "amqp://u:s3cret@[::1]"),
        ("AMQP_URL", "http://u:s3cret@h"),
        ("AMQP_URL", "u:s3cret"),
        ("AMQP_URL", "amqp://u:s3cret@h,amqp://u:s3cret@h:x"),
        ("DATABASE_URL", "postgres://u:s3cret@h/db?sslmode=verify"),
        ("DATABASE_URL", "postgres://u:s3cret@h/db?sslrootdir=/ca"),
        ("DATABASE_URL", "mysql://u:s3cret@h/db"),
        ("DATABASE_URL", "host=h password=s3cret"),
    ];
    for (variable, url) in cases {
        let message = sources().variable(variable, url).refusal();
        assert!(message.starts_with(&format!("{variable} has a wrong value (not shown)")), "{message}");
        assert!(!message.contains(SECRET), "{message}");
    }
}

#[test]
fn certificates_travel_in_the_urls() {
    let config = sources()
        .file("[broker]\ntls = true\nca_file = \"/etc/my ca.pem\"\n[database]\nssl_mode = \"verify-full\"")
        .variable("FLORIN_DATABASE_CA_FILE", "/ca.pem")
        .load();
    assert_eq!(config.broker.url(), "amqps://guest:guest@127.0.0.1:5671/%2F?cacertfile=/etc/my%20ca.pem");
    assert_eq!(
        config.database.url(),
        "postgres://florin@127.0.0.1:5432/florin?sslmode=verify-full&sslrootcert=/ca.pem"
    );
    let config = sources()
        .variable("AMQP_URL", "amqps://h/?heartbeat=5&certfile=/url")
        .variable("FLORIN_BROKER_CERT_FILE", "/c")
        .variable("FLORIN_BROKER_KEY_FILE", "/k")
        .variable("DATABASE_URL", "postgres://u:p?w@h/db?sslmode=verify-ca&sslrootcert=/url")
        .variable("FLORIN_DATABASE_CA_FILE", "/ca.pem")
        .load();
    assert_eq!(config.broker.url(), "amqps://guest:guest@h:5671/%2F?heartbeat=5&certfile=/url&keyfile=/k");
    assert_eq!(config.database.url(), "postgres://u:p?w@h/db?sslmode=verify-ca&sslrootcert=/url");
}

#[test]
fn an_unknown_parameter_of_a_url_is_named_unless_it_may_be_a_secret() {
    let refusal = |url: &str| sources().variable("DATABASE_URL", url).refusal();
    let message = refusal("postgres://u:s3cret@h/db?sslmode=require&sslrootdir=/ca");
    assert!(
        message.starts_with(
            "DATABASE_URL has a wrong value (not shown): there is no parameter \"sslrootdir\"; "
        )
    );
    let message = refusal("postgres://u:p@ss?s3cret=1@h/db");
    assert!(message.starts_with("DATABASE_URL has a wrong value (not shown); "), "{message}");
}

#[test]
fn addresses_are_shown_without_secrets() {
    let config = sources().load();
    assert_eq!(
        (config.broker.address(), config.broker.virtual_host()),
        ("127.0.0.1:5672".into(), "/".into())
    );
    assert_eq!(
        (config.database.address(), config.database.database_name()),
        ("127.0.0.1:5432".into(), "florin".into())
    );
    let url = |url| sources().variable("DATABASE_URL", url).load().database;
    assert_eq!(url("postgres://u:s3cret@h/db?sslmode=require").address(), "h:5432");
    assert_eq!(url("postgres://u:s3cret@a:1,b:2/db").address(), "a:1, b:2");
    assert_eq!(url("postgres://u@%2Frun%2Fpostgresql/db").address(), "/run/postgresql");
    assert_eq!(url("postgres://u:s3cret@h").database_name(), "u");
    let broker = sources().variable("AMQP_URL", "amqps://u:s3cret@h/v?cacertfile=/ca.pem").load().broker;
    assert_eq!((broker.address(), broker.virtual_host()), ("h:5671".into(), "v".into()));
    let broker = sources().variable("AMQP_URL", "amqp://u:s3cret@a/v,amqp://w:s3cret@b:1/v").load().broker;
    assert_eq!((broker.address(), broker.virtual_host()), ("a:5672, b:1".into(), "v".into()));
}

/// Nothing that asks for protection is silently without.
#[test]
fn settings_that_would_protect_less_than_they_seem_to_are_refused() {
    let url = |name, text| sources().variable(name, text);
    let cases = [
        (url("AMQP_URL", "amqp://h").variable("FLORIN_BROKER_TLS", "true"), "broker.tls is true, so"),
        (url("AMQP_URL", "amqp://h/v,amqp://h/w"), "the addresses in broker.urls must"),
        (url("AMQP_URL", "amqps://h,amqp://h"), "the addresses in broker.urls must"),
        (url("FLORIN_BROKER_CA_FILE", "/ca"), "broker.ca_file, broker.cert_file and broker.key_file have no"),
        (
            url("AMQP_URL", "amqps://h").variable("FLORIN_BROKER_KEY_FILE", "/k"),
            "broker.cert_file and broker.key_file belong together",
        ),
        (url("FLORIN_DATABASE_CA_FILE", "/ca"), "database.ca_file has no effect with this"),
        (
            url("DATABASE_URL", "postgres://h?sslmode=prefer&sslrootcert=/ca"),
            "database.ca_file has no effect",
        ),
        (url("SSL_MODE", "verify-ca"), "database.ssl_mode is verify-ca, which needs"),
        (url("FLORIN_HTTP_KEY_FILE", "/k"), "http.cert_file and http.key_file belong together"),
        (url("FLORIN_HTTP_CLIENT_CA_FILE", "/ca"), "http.client_ca_file needs"),
    ];
    for (sources, start) in cases {
        let message = sources.refusal();
        assert!(message.starts_with(start), "{message}");
    }
}

#[test]
fn unknown_keys_of_the_file_are_refused() {
    let cases = [
        (
            "[broker]\nprefetsch = 1",
            "florin.toml: there is no setting \"broker.prefetsch\"; the settings are broker.urls, ",
        ),
        (
            "[brokr]\nprefetch = 1",
            "florin.toml: there is no setting \"brokr.prefetch\"; the settings are in [broker], [database], [engine], \
             [events], [http], [log]",
        ),
        ("prefetch = 1", "florin.toml: there is no setting \"prefetch\"; the settings are in [broker], "),
    ];
    for (text, start) in cases {
        let message = sources().file(text).refusal();
        assert!(message.starts_with(start), "{message}");
    }
}

#[test]
fn malformed_files_are_not_quoted() {
    let message = sources().file("[broker]\nport = 1\npassword = \"s3cret").refusal();
    assert!(message.starts_with("florin.toml: line 3: ") && !message.contains(SECRET), "{message}");
    let message = sources().dot_env("BR_PASSWORD=s3cret with spaces\n").refusal();
    assert!(message.starts_with(".env: a line is not NAME=value") && !message.contains(SECRET), "{message}");
    let message = sources().file("[broker]\npassword = 53").refusal();
    assert!(message.contains("broker.password in florin.toml") && !message.contains("53"), "{message}");
}

#[test]
fn secrets_are_shown_nowhere() {
    let config = sources()
        .variable("AMQP_URL", "amqp://u:s3cret@h/v")
        .variable("BR_PASSWORD", SECRET)
        .variable("DATABASE_URL", "postgres://u:s3cret@h/db?password=s3cret")
        .variable("DB_PASSWORD", SECRET)
        .load();
    for shown in [config.to_string(), format!("{config:?}"), serde_json::to_string(&config).unwrap()] {
        assert!(!shown.contains(SECRET) && shown.contains("amqp://u:***@h/v"), "{shown}");
    }
    assert!(config.database.url().contains(SECRET));
}

#[test]
fn a_missing_file_is_an_error_only_when_it_was_named() {
    let missing = std::path::Path::new("/nonexistent/florin.toml");
    let error = Sources::of_process(Vec::new(), Some(missing)).unwrap_err();
    assert_eq!(error.to_string(), "/nonexistent/florin.toml cannot be read");
}

#[test]
fn trusted_users_are_a_list_or_a_text_with_commas() {
    let users = |sources: Sources| sources.load().broker.trusted_users;
    let cases = [
        (sources().file("[broker]\ntrusted_users = [\"http\", \"a,b\"]"), vec!["http", "a,b"]),
        (sources().file("[broker]\ntrusted_users = \"http, shop\""), vec!["http", "shop"]),
        (sources().variable("FLORIN_BROKER_TRUSTED_USERS", " http ,,5 "), vec!["http", "5"]),
        (sources().variable("FLORIN_BROKER_TRUSTED_USERS", ","), vec![]),
    ];
    for (sources, expected) in cases {
        assert_eq!(users(sources), expected);
    }
    for wrong in ["[1]", "[\"\"]", "1", "[[\"http\"]]"] {
        let refusal = sources().file(&format!("[broker]\ntrusted_users = {wrong}")).refusal();
        assert!(refusal.contains("a list of names"), "{refusal}");
    }
}
