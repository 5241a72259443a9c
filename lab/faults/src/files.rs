//! Files with one value of JSON in each line.

use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::path::Path;

use serde::Serialize;
use serde::de::DeserializeOwned;

pub(crate) fn write_lines<T: Serialize>(path: &Path, values: &[T]) -> io::Result<()> {
    let mut file = BufWriter::new(File::create(path)?);
    for value in values {
        serde_json::to_writer(&mut file, value)?;
        file.write_all(b"\n")?;
    }
    file.flush()
}

pub(crate) fn read_lines<T: DeserializeOwned>(path: &Path) -> io::Result<Vec<T>> {
    let named = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", path.display()));
    let mut values = Vec::new();
    for line in BufReader::new(File::open(path).map_err(named)?).lines() {
        values.push(serde_json::from_str(&line.map_err(named)?).map_err(|error| named(error.into()))?);
    }
    Ok(values)
}
