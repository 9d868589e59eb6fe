"""How machine code reads and writes the rows of a book: `rows[i].price` is a place in a column.

What belongs here: what the compiler is told of `CellColumns`. What does not: the columns (`cell_columns`), and a line
of the kernel. Importing this module imports the compiler.
"""

# The compiler calls these functions by place and with all that it knows, and says little of their types.
# ruff: noqa: ARG001, ARG002
# mypy: disable-error-code="misc,no-untyped-call,no-untyped-def,untyped-decorator,override"

from __future__ import annotations

import operator
from typing import Any

from numba.core import cgutils, types
from numba.core.imputils import lower_builtin, lower_getattr_generic, lower_setattr_generic
from numba.core.typing.templates import AbstractTemplate, AttributeTemplate, infer_getattr, infer_global, signature
from numba.extending import NativeValue, models, register_model, typeof_impl, unbox

from scizor_dagster.planning.cell_columns import BEFORE, KINDS, CellColumns

_TYPES = {"f8": types.float64, "i8": types.int64, "i1": types.int8, "?": types.boolean}


class RowsType(types.Type):
    """`CellColumns`."""

    def __init__(self) -> None:
        super().__init__(name="Rows")


class RowType(types.Type):
    """One row of them."""

    def __init__(self) -> None:
        super().__init__(name="Row")


ROWS, ROW = RowsType(), RowType()


@register_model(RowsType)
class _RowsModel(models.StructModel):
    def __init__(self, manager: Any, kind: Any) -> None:
        super().__init__(manager, kind, [("address", types.voidptr), ("stride", types.intp), ("size", types.intp)])


@register_model(RowType)
class _RowModel(models.StructModel):
    def __init__(self, manager: Any, kind: Any) -> None:
        super().__init__(manager, kind, [("address", types.voidptr), ("stride", types.intp), ("place", types.intp)])


@typeof_impl.register(CellColumns)
def _type_of(rows: CellColumns, context: Any) -> RowsType:
    return ROWS


@unbox(RowsType)
def _unbox(kind: RowsType, rows: Any, context: Any) -> Any:
    made = cgutils.create_struct_proxy(kind)(context.context, context.builder)
    for name in ("address", "stride", "size"):
        number = context.pyapi.object_getattr_string(rows, name)
        value = context.pyapi.long_as_longlong(number)
        setattr(made, name, context.builder.inttoptr(value, cgutils.voidptr_t) if name == "address" else value)
        context.pyapi.decref(number)
    return NativeValue(made._getvalue(), is_error=cgutils.is_not_null(context.builder, context.pyapi.err_occurred()))


@infer_global(len)
class _Length(AbstractTemplate):
    def generic(self, args: Any, kws: Any) -> Any:
        return signature(types.intp, ROWS) if args == (ROWS,) else None


@lower_builtin(len, RowsType)
def _length(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    return cgutils.create_struct_proxy(ROWS)(context, builder, args[0]).size


@infer_global(operator.getitem)
class _RowAt(AbstractTemplate):
    def generic(self, args: Any, kws: Any) -> Any:
        return signature(ROW, ROWS, types.intp) if args[0] == ROWS else None


@lower_builtin(operator.getitem, RowsType, types.intp)
def _row_at(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    rows = cgutils.create_struct_proxy(ROWS)(context, builder, args[0])
    row = cgutils.create_struct_proxy(ROW)(context, builder)
    row.address, row.stride, row.place = rows.address, rows.stride, args[1]
    return row._getvalue()


@infer_getattr
class _Names(AttributeTemplate):
    key = RowType

    def generic_resolve(self, row: Any, name: str) -> Any:
        return _TYPES[KINDS[name]] if name in KINDS else None


def _pointer(context: Any, builder: Any, row: Any, name: str) -> tuple[Any, Any]:
    """Where a row's number lies, and its model."""
    row = cgutils.create_struct_proxy(ROW)(context, builder, row)
    kind = _TYPES[KINDS[name]]
    first = builder.mul(row.stride, row.stride.type(BEFORE[name]))
    start = builder.bitcast(builder.gep(row.address, [first]), context.get_data_type(kind).as_pointer())
    return builder.gep(start, [row.place], inbounds=True), context.data_model_manager[kind]


def _apart(builder: Any, access: Any, name: str) -> Any:
    """Tell the compiler that no two columns lie over each other."""
    module = builder.module
    domain = module.add_metadata(["columns of a book"])
    scopes = {column: module.add_metadata([f"column {column}", domain]) for column in KINDS}
    access.set_metadata("alias.scope", module.add_metadata([scopes[name]]))
    access.set_metadata("noalias", module.add_metadata([scope for column, scope in scopes.items() if column != name]))
    return access


@lower_getattr_generic(RowType)
def _read(context: Any, builder: Any, kind: Any, row: Any, name: str) -> Any:
    pointer, model = _pointer(context, builder, row, name)
    return model.from_data(builder, _apart(builder, builder.load(pointer), name))


@lower_setattr_generic(RowType)
def _write(context: Any, builder: Any, sig: Any, args: Any, name: str) -> None:
    pointer, model = _pointer(context, builder, args[0], name)
    value = context.cast(builder, args[1], sig.args[1], _TYPES[KINDS[name]])
    _apart(builder, builder.store(model.as_data(builder, value), pointer), name)
