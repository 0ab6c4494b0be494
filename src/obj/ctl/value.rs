//! Values of entries, as C passes them.

use super::{Error, Result};

/// What a program says of an allocation class, sizes in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClassDesc {
    pub unit_size: u64,
    pub alignment: u64,
    pub units_per_block: u32,
    /// `enum pobj_header_type`.
    pub header_type: u32,
    pub class_id: u32,
}

/// The type behind a C argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    /// The argument is not looked at.
    None,
    /// 32 bits: int, unsigned, an enum.
    Int,
    /// 64 bits.
    Long,
    Class,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value {
    None,
    Int(u32),
    Long(u64),
    Class(ClassDesc),
}

impl Value {
    pub(super) fn int(self) -> Result<u32> {
        match self {
            Value::Int(v) => Ok(v),
            Value::Long(v) => Ok(v as u32), // configuration gives 64 bits
            _ => Err(Error::Invalid("wrong type of argument")),
        }
    }

    pub(super) fn long(self) -> Result<u64> {
        match self {
            Value::Long(v) => Ok(v),
            Value::Int(v) => Ok(v as u64),
            _ => Err(Error::Invalid("wrong type of argument")),
        }
    }

    pub(super) fn class(self) -> Result<ClassDesc> {
        match self {
            Value::Class(v) => Ok(v),
            _ => Err(Error::Invalid("wrong type of argument")),
        }
    }
}
