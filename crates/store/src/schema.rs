//! The version of what owners wrote, and the way from an older one.

use crate::backend::Backend;
use crate::batch::{MAX_KEY, MAX_VALUE, Table};
use crate::boot::OpenError;
use crate::seal::Sealer;

/// A record outside any batch, as a migration sees it. No Debug output: it may
/// be a secret.
#[derive(Clone, PartialEq, Eq)]
pub struct Record {
    /// Its table.
    pub table: Table,
    /// Its key.
    pub key: Vec<u8>,
    /// Its value, unsealed.
    pub value: Vec<u8>,
}

/// A migration met a record that it cannot read, or made one that is too large.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a record of table {table} cannot be carried over")]
pub struct MigrateError {
    /// Whose record.
    pub table: &'static str,
}

/// What the owners write now.
#[derive(Clone, Copy)]
pub struct Schema {
    /// Counts from 1; raise it when a record's form changes.
    pub version: u32,
    /// Every table there ever was and still may hold records. A migration
    /// refuses to start when it finds records of another.
    pub tables: &'static [Table],
    /// Carries one record from version `from` to `from + 1`, into none, one or
    /// several. Called for each record and each version in between.
    pub migrate: fn(from: u32, Record) -> Result<Vec<Record>, MigrateError>,
}

impl Schema {
    /// The first version: nothing to migrate from.
    pub const FIRST: Self = Self { version: 1, tables: &[], migrate: |_, record| Ok(vec![record]) };
}

/// Rewrites all records of version `from` for `schema`, sealed anew, as one
/// batch: after a crash the folder holds the one version or the other.
pub(crate) fn migrate(
    backend: &dyn Backend,
    old: &Sealer,
    new: &Sealer,
    from: u32,
    schema: &Schema,
) -> Result<(), OpenError> {
    let (mut changes, mut records) = (Vec::new(), Vec::new());
    for &table in schema.tables {
        for (raw, stored) in backend.scan(&table.prefix())? {
            let key = raw[table.prefix().len()..].to_vec();
            let value = old.open(table, &key, stored).map_err(|_| MigrateError { table: table.name() })?;
            records.push(Record { table, key, value });
            changes.push((raw, None));
        }
    }
    if changes.len() + crate::boot::META_RECORDS != backend.scan(&[])?.len() {
        return Err(OpenError::UnknownTable);
    }
    for record in carry(records, from, schema)? {
        let value = new.close(record.table, &record.key, record.value);
        let value = value.map_err(|_| MigrateError { table: record.table.name() })?;
        changes.push((record.table.raw_key(&record.key), Some(value)));
    }
    changes.push(crate::boot::version_record(schema.version));
    backend.apply(changes)?;
    Ok(backend.sync()?)
}

fn carry(mut records: Vec<Record>, from: u32, schema: &Schema) -> Result<Vec<Record>, MigrateError> {
    for version in from..schema.version {
        let carried: Result<Vec<_>, _> = records.into_iter().map(|r| (schema.migrate)(version, r)).collect();
        records = carried?.into_iter().flatten().collect();
    }
    let too_large = records.iter().find(|r| r.key.len() > MAX_KEY || r.value.len() > MAX_VALUE);
    match too_large {
        Some(record) => Err(MigrateError { table: record.table.name() }),
        None => Ok(records),
    }
}
