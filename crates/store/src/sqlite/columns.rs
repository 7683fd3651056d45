//! What the columns of a row mean.

use super::error::{Error, damaged};
use bailiwick_types::Timestamp;
use bytes::Bytes;
use rusqlite::{Row, types::ValueRef};

/// 128 bits as they are stored.
pub fn id_at(row: &Row<'_>, column: usize) -> Result<u128, Error> {
    Ok(u128::from_be_bytes(array_at(row, column)?))
}

pub fn optional_id_at(row: &Row<'_>, column: usize) -> Result<Option<u128>, Error> {
    match row.get_ref(column)? {
        ValueRef::Null => Ok(None),
        _ => id_at(row, column).map(Some),
    }
}

pub fn array_at<const N: usize>(row: &Row<'_>, column: usize) -> Result<[u8; N], Error> {
    match row.get_ref(column)? {
        ValueRef::Blob(bytes) => bytes.try_into().map_err(|_| damaged("an id or a digest")),
        _ => Err(damaged("an id or a digest")),
    }
}

pub fn bytes_at(row: &Row<'_>, column: usize) -> Result<Bytes, Error> {
    Ok(row.get::<_, Vec<u8>>(column)?.into())
}

pub fn time_at(row: &Row<'_>, column: usize) -> Result<Timestamp, Error> {
    Ok(Timestamp::from_millis(row.get(column)?))
}

/// A number that was stored from one of this type.
pub fn number_at<T: TryFrom<i64>>(row: &Row<'_>, column: usize) -> Result<T, Error> {
    T::try_from(row.get(column)?).map_err(|_| damaged("a number"))
}
