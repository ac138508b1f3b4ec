//! What every store promises, run against each: in memory, and in PostgreSQL.
//!
//! PostgreSQL's needs a database with the tables of the migration, for which `STORE_DATABASE_URL` has to be set:
//! `tests/postgres/test_store_contract.py` does. Without it only the store in memory is tested.

#![expect(clippy::expect_used, reason = "a test without its database has failed")]

mod catalog;
mod contract;
mod keys;
mod rows;
