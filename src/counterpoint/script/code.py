"""A script's tree with what the checks ask of it: parents, names with their uses, and calls of hooks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from tree_sitter import Node

from counterpoint.errors import Finding
from counterpoint.script import tree
from counterpoint.script.source import Source

FUNCTIONS = frozenset({
    "function_declaration", "function_expression", "generator_function", "generator_function_declaration",
    "arrow_function", "method_definition", "class_static_block",
})  # fmt: skip
NAMED_OUTSIDE = frozenset({"function_declaration", "generator_function_declaration", "class_declaration"})
BLOCKS = frozenset({"statement_block", "for_statement", "for_in_statement", "catch_clause", "switch_body", "class"})
ASSIGNMENTS = ("assignment_expression", "augmented_assignment_expression")
NAMES = frozenset({"identifier", "shorthand_property_identifier", "shorthand_property_identifier_pattern"})


@dataclass(slots=True)
class Binding:
    """A name that the script declares."""

    name: str
    node: Node
    declarator: Node | None = None
    """The variable_declarator of a plain ``const x = …``; None for patterns, parameters, functions and classes."""
    uses: list[Node] = field(default_factory=list[Node])
    """Every place but the declaration."""


@dataclass(slots=True)
class _Scope:
    parent: _Scope | None
    function: _Scope | None
    """The scope that `var` declares in; None: this one."""
    names: dict[str, Binding] = field(default_factory=dict[str, Binding])

    def find(self, name: str) -> Binding | None:
        scope: _Scope | None = self
        while scope is not None:
            if name in scope.names:
                return scope.names[name]
            scope = scope.parent
        return None


class Code:
    """A script laid out flat: `nodes` in the order of the text, comments left out."""

    def __init__(self, source: Source, root: Node) -> None:
        self.source = source
        self.root = root
        self.nodes: list[Node] = []
        self.free: list[Node] = []
        """Names that the script uses and does not declare."""
        self._parents: dict[int, Node] = {}
        self._bindings: dict[int, Binding] = {}
        self._writes: dict[int, list[Node]] = {}
        self._values: dict[int, Node | None] = {}
        used = self._lay_out()
        for node, scope in used:
            self._resolve(node, scope)

    @classmethod
    def of(cls, text: str) -> Code:
        source = Source(text)
        return cls(source, tree.parse_tree(source))

    def parent(self, node: Node) -> Node | None:
        return self._parents.get(node.id)

    def ancestors(self, node: Node) -> Iterator[Node]:
        """The nodes around a node, the nearest first."""
        outer = self.parent(node)
        while outer is not None:
            yield outer
            outer = self.parent(outer)

    def function_of(self, node: Node) -> Node | None:
        """The function that a node stands in; None at the top level."""
        return next((outer for outer in self.ancestors(node) if outer.type in FUNCTIONS), None)

    def binding(self, name: Node) -> Binding | None:
        """What a name refers to; None where the script does not declare it."""
        return self._bindings.get(name.id)

    def is_free(self, node: Node | None, name: str | None = None) -> bool:
        """Whether a node is a name that the script does not declare, such as that of a hook."""
        if node is None or node.type not in NAMES or node.id in self._bindings:
            return False
        return name is None or tree.text(node) == name

    def meant(self, node: Node | None) -> Node | None:
        """The expression that a node stands for: parentheses off, a constant followed to its value."""
        for _ in range(20):
            if node is None:
                return None
            if node.type == "parenthesized_expression":
                node = next(iter(tree.named(node)), None)
            elif node.type in NAMES:
                value = self._value(node)
                if value is None:
                    return node
                node = value
            else:
                return node
        return node

    def text_of(self, node: Node | None) -> str | None:
        """The text that an expression certainly is; None where it depends on something."""
        node = self.meant(node)
        return tree.string_value(node) if node is not None else None

    def writes(self, binding: Binding) -> list[Node]:
        """Where a name gets another value after its declaration."""
        if binding.node.id not in self._writes:
            self._writes[binding.node.id] = [use for use in binding.uses if self._is_written(use)]
        return self._writes[binding.node.id]

    def doubt(self, node: Node, message: str, hint: str | None, rule: str) -> Finding:
        """A warning at a node."""
        line, column = self.source.place(node.start_byte)
        return Finding(line, column, message, hint, severity="warning", rule=rule)

    def _value(self, name: Node) -> Node | None:
        """What a constant is; None for what is no constant."""
        binding = self.binding(name)
        if binding is None or binding.declarator is None:
            return None
        if binding.node.id not in self._values:
            value = tree.field(binding.declarator, "value")
            changed = value is not None and value.type == "object" and self._is_changed(binding)
            self._values[binding.node.id] = None if changed or self.writes(binding) else value
        return self._values[binding.node.id]

    def _is_changed(self, binding: Binding) -> bool:
        """Whether members of the object of this name are written to."""
        for use in binding.uses:
            member = use
            for outer in self.ancestors(use):
                if outer.type not in ("member_expression", "subscript_expression"):
                    if member != use and outer.type in ASSIGNMENTS and tree.field(outer, "left") == member:
                        return True
                    break
                member = outer
        return False

    def _is_written(self, use: Node) -> bool:
        parent = self.parent(use)
        inner = use
        while parent is not None and parent.type in PATTERNS:
            inner, parent = parent, self.parent(parent)
        if parent is None:
            return False
        if parent.type in (*ASSIGNMENTS, "for_in_statement"):
            return tree.field(parent, "left") == inner
        return parent.type == "update_expression"

    # --- laying out ----------------------------------------------------------------------------------------------

    def _lay_out(self) -> list[tuple[Node, _Scope]]:
        """Fills `nodes`, parents and the scopes' names; gives every use of a name with its scope."""
        used: list[tuple[Node, _Scope]] = []
        declared: set[int] = set()
        stack = [(self.root, _Scope(None, None))]
        while stack:
            node, scope = stack.pop()
            self.nodes.append(node)
            self._declare(node, scope, declared)
            if node.type in NAMES:
                if node.id not in declared:
                    used.append((node, scope))
                continue
            inner = self._scope_inside(node, scope, declared)
            children = tree.named(node)
            for child in children:
                self._parents[child.id] = node
            stack.extend((child, inner) for child in reversed(children))
        return used

    def _scope_inside(self, node: Node, scope: _Scope, declared: set[int]) -> _Scope:
        if node.type not in FUNCTIONS and node.type not in BLOCKS:
            return scope
        is_function = node.type in FUNCTIONS
        inner = _Scope(scope, None if is_function else scope.function or scope)
        name = tree.field(node, "name")
        if node.type in ("function_expression", "generator_function", "class") and name is not None:
            self._add(inner, name, declared)
        for place in ("parameters", "parameter"):
            given = tree.field(node, place)
            if given is not None and node.type in (*FUNCTIONS, "catch_clause"):
                for found in pattern_names(given):
                    self._add(inner, found, declared)
        if node.type == "for_in_statement" and tree.field(node, "kind") is not None:
            self._add_left(node, inner, declared)
        return inner

    def _add_left(self, loop: Node, inner: _Scope, declared: set[int]) -> None:
        kind, left = tree.field(loop, "kind"), tree.field(loop, "left")
        target = (inner.function or inner) if kind is not None and tree.text(kind) == "var" else inner
        for found in pattern_names(left) if left is not None else ():
            self._add(target, found, declared)

    def _declare(self, node: Node, scope: _Scope, declared: set[int]) -> None:
        name = tree.field(node, "name")
        if node.type in NAMED_OUTSIDE and name is not None:
            self._add(scope, name, declared)
        if node.type not in ("lexical_declaration", "variable_declaration"):
            return
        target = scope if node.type == "lexical_declaration" else scope.function or scope
        for declarator in tree.named(node):
            pattern = tree.field(declarator, "name")
            for found in pattern_names(pattern) if pattern is not None else ():
                binding = self._add(target, found, declared)
                if found == pattern:
                    binding.declarator = declarator

    def _add(self, scope: _Scope, name: Node, declared: set[int]) -> Binding:
        declared.add(name.id)
        binding = scope.names.setdefault(tree.text(name), Binding(tree.text(name), name))
        self._bindings[name.id] = binding
        return binding

    def _resolve(self, name: Node, scope: _Scope) -> None:
        binding = scope.find(tree.text(name))
        if binding is None:
            self.free.append(name)
        else:
            binding.uses.append(name)
            self._bindings[name.id] = binding


PATTERNS = frozenset({
    "object_pattern", "array_pattern", "pair_pattern", "rest_pattern", "assignment_pattern",
    "object_assignment_pattern",
})  # fmt: skip


def pattern_names(pattern: Node) -> list[Node]:
    """The names that a pattern declares, default values left out."""
    found: list[Node] = []
    stack = [pattern]
    while stack:
        node = stack.pop()
        if node.type in ("identifier", "shorthand_property_identifier_pattern"):
            found.append(node)
        elif node.type in ("assignment_pattern", "object_assignment_pattern"):
            left = tree.field(node, "left")
            stack += [left] if left is not None else []
        elif node.type == "pair_pattern":
            value = tree.field(node, "value")
            stack += [value] if value is not None else []
        elif node.type in ("object_pattern", "array_pattern", "rest_pattern", "formal_parameters"):
            stack += reversed(tree.named(node))
    return found
