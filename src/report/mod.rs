//! A plan in words. Pure functions of the plan: the same plan always reads the same.

pub mod moved;
mod rows;
mod style;
pub mod text;
mod words;
