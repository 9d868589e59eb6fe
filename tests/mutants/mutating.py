"""The mutants of a module: mutmut's operators and two of our own, less what cannot matter. Runs nothing.

mutmut itself swaps whole functions at run time, and so leaves out what is decorated, in a class body or at the top of
a module. Here a mutant is a module's text, and all of it is mutated.

Left out by rule: type annotations, docstrings, decorators, the wording of texts (whatever holds a space between
words) and all text in a `raise`, `__repr__` and `__str__`, the conditions of `assert` and `strict=True` of `zip`
(both state what never happens), `encoding=`, which is what Python takes anyway where the tests run, and `__all__`,
which nobody but the type checker reads.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import libcst as cst
import libcst.matchers as m
from libcst.metadata import CodeRange, MetadataWrapper, PositionProvider
from mutmut.mutation.file_mutation import MutationVisitor, deep_replace
from mutmut.mutation.mutators import OPERATORS_TYPE, mutation_operators
from mutmut.mutation.pragma_handling import IgnoredCode

_WORDS = re.compile(r"\w[.,;:!?)'\"]* \(?[\w{'\"]|^[.,;:]? \w|\w[,;:]? $")
_ANNOTATING = m.Name("Literal") | m.Name("cast") | m.Name("TypeVar") | m.Name("NewType")
_BUILT_IN = {"int", "str", "float", "bool", "tuple", "dict", "list", "set", "frozenset", "type", "None"}
_STATED = m.Arg(keyword=m.Name("strict") | m.Name("encoding"))
_EXPORTS = m.Assign(targets=[m.AssignTarget(m.Name("__all__"))])
_TYPE_VARIABLE = m.Assign(value=m.Call(m.Name("TypeVar") | m.Name("NewType")))
_DEFAULT = m.Arg(keyword=m.Name("nullable"), value=m.Name("True"))
"""What a column is anyway."""


@dataclass(frozen=True, eq=False)
class Mutant:
    """One change to one module.

    `line` to `end` are the lines that it may change. `first` to `last` are those whose execution can show it, or 0 and
    0 for what runs when the module is imported.
    """

    path: str
    line: int
    end: int
    first: int
    last: int
    module: cst.Module = field(repr=False)
    original: cst.CSTNode = field(repr=False)
    replacement: cst.CSTNode = field(repr=False)

    @property
    def name(self) -> str:
        return f"{self.path}:{self.line}"

    @property
    def before(self) -> frozenset[str]:
        """The lines that it may change, without their indentation."""
        return frozenset(line.strip() for line in self.module.code.splitlines()[self.line - 1 : self.end])

    def text(self) -> str | None:
        """The whole module with the change, or None where that is no Python or no change. Some 50 ms."""
        text = cast(cst.Module, deep_replace(self.module, self.original, self.replacement)).code
        try:
            compile(text, self.path, "exec")
        except SyntaxError:
            return None
        return None if text == self.module.code else text

    def diff(self) -> list[str]:
        """Lines taken away (`-`) and put in their place (`+`), without their indentation."""
        before, after = self.module.code.splitlines(), (self.text() or "").splitlines()
        lines = difflib.unified_diff(before, after, n=0, lineterm="")
        return [f"{text[0]} {text[1:].strip()}" for text in lines if not text.startswith(("---", "+++", "@@"))]


def mutants_of(path: str, source: str) -> list[Mutant]:
    """Every mutant of a module, in the order of its text.

    Args:
        path: as it is to be named, relative to the package.
        source: the module's text.
    """
    visitor = _Visitor()
    module = MetadataWrapper(cst.parse_module(source)).visit(visitor)
    found = [
        Mutant(path, *lines, *span, module, original, replacement)
        for original, replacement, lines, span in visitor.found
    ]
    return sorted(found, key=lambda mutant: mutant.line)


def mutants_in(root: Path, packages: Iterable[str]) -> Iterator[tuple[str, list[Mutant]]]:
    """For each module of the packages below `root`, its name and its mutants. Migrations are frozen and left out."""
    for package in packages:
        for file in sorted((root / package).glob("*.py")):
            path = file.relative_to(root).as_posix()
            yield path, mutants_of(path, file.read_text())


def dropped_statement(node: cst.Expr | cst.Raise) -> Iterator[cst.Pass]:
    """A call for its effect, or a refusal, that is left out."""
    if isinstance(node, cst.Raise) or isinstance(node.value, cst.Call):
        yield cst.Pass()


def negated_condition(node: cst.If | cst.While | cst.CompIf) -> Iterator[cst.CSTNode]:
    """A condition without an operator of its own, which mutmut has nothing to change in."""
    if isinstance(node.test, cst.Name | cst.Attribute | cst.Call | cst.Subscript | cst.NamedExpr):
        test = node.test.with_changes(lpar=[cst.LeftParen()], rpar=[cst.RightParen()])
        yield node.with_changes(test=cst.UnaryOperation(cst.Not(), test))


OPERATORS: OPERATORS_TYPE = [
    *mutation_operators,
    (cst.Expr, dropped_statement),
    (cst.Raise, dropped_statement),
    (cst.If, negated_condition),
    (cst.While, negated_condition),
    (cst.CompIf, negated_condition),
]


class _Visitor(MutationVisitor):
    """Notes each change with its line and the lines of its statement, under our rules of what is left out."""

    def __init__(self) -> None:
        super().__init__(OPERATORS, IgnoredCode(set(), set(), set()))
        self.found: list[tuple[cst.CSTNode, cst.CSTNode, tuple[int, int], tuple[int, int]]] = []
        self._statements: list[cst.CSTNode] = []
        self._raising = 0
        self._functions = 0
        self._parameters = 0

    def on_visit(self, node: cst.CSTNode) -> bool:
        if self._skip_node_and_children(node):
            return False
        if isinstance(node, cst.SimpleStatementLine):
            self._statements.append(node)
        self._count(node, 1)
        self._create_mutations(node)
        return True

    def on_leave(self, original_node: cst.CSTNode) -> None:
        if isinstance(original_node, cst.SimpleStatementLine):
            self._statements.pop()
        self._count(original_node, -1)
        super().on_leave(original_node)

    def _count(self, node: cst.CSTNode, step: int) -> None:
        self._raising += step * isinstance(node, cst.Raise)
        self._functions += step * isinstance(node, cst.FunctionDef | cst.Lambda)
        self._parameters += step * isinstance(node, cst.Parameters)

    def _create_mutations(self, node: cst.CSTNode) -> None:
        if isinstance(node, cst.SimpleString) and _is_text(node):
            return
        for kind, operator in self._operators:
            if isinstance(node, kind):
                for mutated in operator(node):
                    if not self._cannot_matter(node, mutated):
                        self.found.append((node, mutated, self._lines(node), self._span(node)))

    def _cannot_matter(self, node: cst.CSTNode, mutated: cst.CSTNode) -> bool:
        """Whether a call differs in nothing but a text that it raises, or in what it states."""
        if not (isinstance(node, cst.Call) and isinstance(mutated, cst.Call)):
            return False
        kept = {id(arg) for arg in mutated.args}
        changed = [arg for arg in node.args if id(arg) not in kept]
        removed = len(mutated.args) < len(node.args)
        return bool(changed) and all(
            m.matches(arg, _STATED)
            or (removed and m.matches(arg, _DEFAULT))
            or (self._raising > 0 and _is_text(arg.value))
            for arg in changed
        )

    def _skip_node_and_children(self, node: cst.CSTNode) -> bool:
        if isinstance(node, cst.Annotation | cst.Decorator | cst.Assert):
            return True
        if isinstance(node, cst.FunctionDef):
            return node.name.value in {"__repr__", "__str__", "__new__", "__setattr__"}
        if isinstance(node, cst.Subscript):
            return m.matches(node.value, _ANNOTATING)
        if isinstance(node, cst.Call) and m.matches(node.func, _ANNOTATING):
            return False
        if isinstance(node, cst.Arg) and m.matches(node, _STATED):
            return True
        if isinstance(node, cst.FormattedString) and self._raising:
            return True
        if isinstance(node, cst.Expr) and isinstance(node.value, cst.BaseString):
            return True
        return _is_type_checking(node) or _is_alias(node) or m.matches(node, _EXPORTS | _TYPE_VARIABLE)

    def _lines(self, node: cst.CSTNode) -> tuple[int, int]:
        """First and last line. Operators have no position of their own: theirs is that of the statement."""
        found = self.get_metadata(PositionProvider, node, None)
        if found is None:
            found = self.get_metadata(PositionProvider, self._statements[-1])
        where = cast(CodeRange, found)
        return where.start.line, where.end.line

    def _span(self, node: cst.CSTNode) -> tuple[int, int]:
        if self._functions == 0 or self._parameters:
            return 0, 0
        if self._statements:
            return self._lines(self._statements[-1])
        first, last = self._lines(node.test if isinstance(node, cst.If | cst.While) else node)
        return first, last


def _is_text(node: cst.CSTNode) -> bool:
    """Whether an expression is words for a reader, not a name or a code."""
    if isinstance(node, cst.SimpleString):
        return bool(_WORDS.search(node.raw_value))
    if isinstance(node, cst.FormattedString):
        return any(isinstance(part, cst.FormattedStringText) and _WORDS.search(part.value) for part in node.parts)
    if isinstance(node, cst.ConcatenatedString):
        return _is_text(node.left) or _is_text(node.right)
    if isinstance(node, cst.BinaryOperation):
        return _is_text(node.left) or _is_text(node.right)
    return isinstance(node, cst.IfExp) and (_is_text(node.body) or _is_text(node.orelse))


def _is_type_checking(node: cst.CSTNode) -> bool:
    return isinstance(node, cst.If) and m.matches(node.test, m.Name("TYPE_CHECKING"))


def _is_alias(node: cst.CSTNode) -> bool:
    """`Name = A | B` of classes, or `Name = Literal["a"]`, names a type."""
    return (
        isinstance(node, cst.Assign)
        and isinstance(node.value, cst.BinaryOperation | cst.Subscript)
        and _is_type(node.value)
    )


def _is_type(value: cst.CSTNode) -> bool:
    if isinstance(value, cst.BinaryOperation):
        return isinstance(value.operator, cst.BitOr) and _is_type(value.left) and _is_type(value.right)
    named = value.value if isinstance(value, cst.Subscript) else value
    if not isinstance(named, cst.Name):
        return False
    return named.value in _BUILT_IN or (named.value[:1].isupper() and not named.value.isupper())
