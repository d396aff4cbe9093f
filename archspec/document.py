"""A spec with what it extends and includes, laid together into one document.

Files are read and checked against the schema one by one; values keep the place they came from.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import lru_cache, partial

from archspec._data import specs_folder
from archspec.errors import MAX_FINDINGS, Diagnostic, Findings, Source, Span, SpecError, did_you_mean, listed
from archspec.files import MAX_BYTES, read
from archspec.header import ENDING, read_spec
from archspec.names import MAX_NAME, value_name_fault
from archspec.ops import table
from archspec.ops.base import Op
from archspec.schema import DOCUMENT_KEYS, validate
from archspec.syntax import Yaml, YamlList, YamlMap, YamlScalar, parse

MAX_FILES = 64
MAX_TOTAL = 4 * MAX_BYTES
MAX_KEPT = 64 << 10
"""Characters: a process does not keep what longer texts come to, of which it has some fifty times their size."""
_RELATIVE = "write the path relative to this file"
_RELATION = "a file extends or includes"
MERGED = ("params", "blocks", "defaults", "init", "expect")
INCLUDED_KEYS = ("archspec", "name", "description", "reference", "include", "defaults", "init", "blocks")


@dataclass(eq=False, repr=False)
class Library:
    """What a block finds around it: the blocks it may call, the defaults of its ops, and how their weights are drawn.

    `sees_params` tells the blocks of the document itself from included ones, which see their arguments only.
    """

    sees_params: bool
    blocks: dict[str, Block] = field(default_factory=dict)
    defaults: dict[str, dict[str, Yaml]] = field(default_factory=dict)
    init: dict[str, Yaml] = field(default_factory=dict)


@dataclass(eq=False, repr=False)
class Block:
    """A block as it stands in a file, and the library that it belongs to."""

    name: str
    span: Span
    yaml: YamlMap
    library: Library
    network: Document | None = None
    """The spec that the block stands for, where it is a `network`."""

    @property
    def is_network(self) -> bool:
        """Whether the block stands for a spec, which may be in error and then missing."""
        return "network" in self.yaml.entries


@dataclass(eq=False, repr=False)
class Document:
    """A spec laid together: values with their places, nothing evaluated yet.

    `files` are the names and texts of all that was read for it, in order: documents of the same files are equal.
    """

    source: Source
    files: tuple[tuple[str, str], ...] = ()
    bases: tuple[str, ...] = ()
    """The names of the files that it extends, nearest first."""
    keys: dict[str, Yaml] = field(default_factory=dict)
    key_spans: dict[str, Span] = field(default_factory=dict)
    params: dict[str, Yaml] = field(default_factory=dict)
    param_keys: dict[str, Span] = field(default_factory=dict)
    expect: dict[str, Yaml] = field(default_factory=dict)
    library: Library = field(default_factory=lambda: Library(sees_params=True))
    findings: Findings = field(default_factory=Findings)
    doubtful: set[str] = field(default_factory=set)
    """The document's keys that are wrong, or may be there under a misspelt name."""
    broken: set[Yaml] = field(default_factory=set)
    """The values in which the schema found an error: themselves, the steps and the document's keys around them."""
    stem: str = ""
    """What a network without a name is called, if not as its file."""

    def __eq__(self, other: object) -> bool:
        return self is other or isinstance(other, Document) and bool(self.files) and self.files == other.files

    def __hash__(self) -> int:
        return hash(self.files)

    @property
    def diagnostics(self) -> list[Diagnostic]:
        """What is wrong with the files."""
        return self.findings.found

    def text(self, key: str) -> str | None:
        """Return the text under `name`, `description` or `reference`."""
        value = self.keys.get(key)
        return value.value if isinstance(value, YamlScalar) and isinstance(value.value, str) else None

    @property
    def name(self) -> str:
        """The network's name: as written, else made from the file's stem."""
        written = self.text("name")
        if written:
            return written
        stem = self.stem or os.path.splitext(os.path.basename(self.source.name))[0]
        made = re.sub(r"\W+", "_", stem, flags=re.ASCII).strip("_")[: MAX_NAME - len("net_")]
        return f"net_{made}" if value_name_fault(made) else made


def zoo_files() -> dict[str, str]:
    """Path of every spec of the zoo by its name, the file's stem; in alphabetical order."""
    found: dict[str, str] = {}
    for folder, folders, files in os.walk(specs_folder()):
        folders.sort()
        for file in sorted(files):
            if file.endswith(".yaml"):
                found[file[:-5]] = os.path.join(folder, file)
    return dict(sorted(found.items()))


def locate(spec: str) -> str:
    """Return the path of a spec that is given by its path or by its name in the zoo.

    A name of the zoo means the network of the zoo, whatever stands in the working folder; anything else may be a file.

    Raises:
        SpecError: There is no such spec.
    """
    if "\0" in spec or any("\ud800" <= character <= "\udbff" for character in spec):
        raise SpecError(Diagnostic("file", f"{spec!r} is not a valid file name"))
    if _is_path(spec) or spec.endswith(ENDING):
        help = None if os.path.lexists(spec) else _zoo_help(spec)
        if help is not None:
            raise SpecError(Diagnostic("file", f"{spec}: no such file", help=help))
        return spec
    files = zoo_files()
    if spec in files:
        return files[spec]
    if os.path.exists(spec):
        return spec
    help = did_you_mean(spec, files) or "`archspec list` shows the zoo; a file needs its ending, `.yaml`"
    raise SpecError(Diagnostic("file", f"unknown spec {spec!r}", help=help))


def load_document(spec: str) -> Document:
    """Return the document of a spec: a path, a name of the zoo, or a safetensors file.

    SpecError where a file cannot be read or is not YAML; what else is wrong stands in `diagnostics`.
    """
    path = locate(spec)
    if path.endswith(ENDING):
        source = read_spec(path)
        return parse_document(source.text, source.name)
    reader = _Reader()
    document = reader.document(path)
    document.files = tuple(reader.files)
    return document


def source_of(spec: str) -> Source:
    """Return the text of a spec as it was written, given as for `load_document`.

    Raises:
        SpecError: The file cannot be read, or is not text: a JSON header can hold halves of characters.
    """
    path = locate(spec)
    source = read_spec(path) if path.endswith(ENDING) else read(path)
    half = re.search("[\ud800-\udfff]", source.text)
    if half:
        message = f"{source.name}: the character U+{ord(half.group()):04X} has no place in a spec"
        raise SpecError(Diagnostic("encoding", message))
    return source


def parse_document(text: str, name: str = "<spec>") -> Document:
    """Return the document in `text`. It may extend and include specs of the zoo, not files."""
    text = text.removeprefix("\ufeff")
    if len(text) > MAX_BYTES:
        raise SpecError(Diagnostic("limit", f"{name} is larger than 1 MiB"))
    reader = _Reader()
    document = reader.lay(parse(Source(name, text)), None)
    document.files = ((name, text), *reader.files)
    return document


def _zoo_help(path: str) -> str | None:
    """Return the help for the path of a file that is not there, where the zoo has a spec of that name."""
    name, ending = os.path.splitext(os.path.basename(path))
    return f"the zoo's is called `{name}`, without an ending" if ending and name in zoo_files() else None


def _is_path(spec: str) -> bool:
    return os.sep in spec or "/" in spec or spec.endswith((".yaml", ".yml"))


def _shown(path: str) -> str:
    """Return a path as messages show it: the zoo's as `specs/...`, the others as they were given."""
    root = os.path.realpath(specs_folder())
    real = _real(path)
    if _is_inside(real, root):
        return f"specs/{os.path.relpath(real, root).replace(os.sep, '/')}"
    return path


# What is read again unchanged, as the base of many variants, is not parsed and checked again: nobody writes to a Yaml.
# `_ops` is the table of ops that it was checked against.


@lru_cache(maxsize=32)
def _parsed(name: str, text: str) -> YamlMap:
    return parse(Source(name, text))


@lru_cache(maxsize=32)
def _validated(yaml: YamlMap, _ops: tuple[type[Op], ...]) -> tuple[list[Diagnostic], set[Yaml]]:
    return validate(yaml)


class _Reader:
    """Reads one spec and the files behind it, within the folder tree of the first."""

    def __init__(self) -> None:
        self.zoo = os.path.realpath(specs_folder())
        self.root = self.zoo
        self.trail: list[str] = []
        self.files: list[tuple[str, str]] = []
        self.count = self.size = 0
        self.libraries: dict[object, Library] = {}
        self.networks: dict[str, Document] = {}

    def document(self, path: str, reference: YamlScalar | None = None, relation: str = _RELATION) -> Document:
        """Return the document of the file at `path`, which `reference` names; without one it is the first file."""
        with self._visit(path, reference, relation) as yaml:
            return self.lay(yaml, path)

    @contextmanager
    def _visit(self, path: str, reference: YamlScalar | None, relation: str = _RELATION) -> Iterator[YamlMap]:
        """Read a file, and hold it on the trail while those that it names are read, so that a cycle is seen."""
        depth = len(self.trail)
        try:
            yield self._read(path, partial(self._enter, reference, relation))
        except SpecError as error:
            if reference is None:
                raise
            place = reference.span  # for what has no place of its own, such as a file that cannot be read
            raise SpecError([replace(d, span=d.span or place) for d in error.diagnostics]) from None
        del self.trail[depth:]

    def _enter(self, reference: YamlScalar | None, relation: str, real: str) -> None:
        """Put the real path of an open file on the trail. Raises: SpecError if it must not be read, or is there."""
        if reference is None:
            self.root = self.zoo if _is_inside(real, self.zoo) else os.path.dirname(real)
        else:
            self._check_inside(real, reference)
        if real in self.trail:
            names = " -> ".join(os.path.basename(step) for step in (*self.trail[self.trail.index(real) :], real))
            place = reference.span if reference else None
            raise SpecError(Diagnostic("cycle", f"{relation} itself: {names}", place))
        self.trail.append(real)

    def _check_inside(self, real: str, reference: YamlScalar) -> None:
        """Check that a file is of the spec's folder tree, or of the zoo. Raises: SpecError."""
        if not _is_inside(real, self.root) and not _is_inside(real, self.zoo):
            message = f"{reference.value} is outside the folder of the spec"
            help = "a spec reads files in its own folder and below"
            raise SpecError(Diagnostic("path", message, reference.span, help=help))

    def _read(self, path: str, allow: Callable[[str], None]) -> YamlMap:
        self.count += 1
        if self.count > MAX_FILES:
            raise SpecError(Diagnostic("limit", f"more than {MAX_FILES} files for one spec"))
        source = read(path, _shown(path), allow)
        self.files.append((source.name, source.text))
        self.size += len(source.text)
        if self.size > MAX_TOTAL:
            raise SpecError(Diagnostic("limit", "more than 4 MiB of files for one spec"))
        return _parsed(source.name, source.text) if len(source.text) <= MAX_KEPT else parse(source)

    def _validated(self, yaml: YamlMap) -> tuple[list[Diagnostic], set[Yaml]]:
        return _validated(yaml, table()) if len(yaml.source.text) <= MAX_KEPT else validate(yaml)

    def lay(self, yaml: YamlMap, path: str | None, checked: set[Yaml] | None = None) -> Document:
        """Return the document of one file over what it extends.

        Args:
            yaml: What the file holds.
            path: The file; None for a text.
            checked: For a spec within a file that the schema was asked about: the values that it found an error in.
        """
        found, broken = self._validated(yaml) if checked is None else ([], checked)
        extends = yaml.get("extends")
        document = Document(yaml.source)
        if isinstance(extends, YamlScalar) and isinstance(extends.value, str):
            try:
                document = self.document(self._target(extends, path), extends)
            except SpecError as error:
                raise SpecError([*found, *error.diagnostics]) from None
            document.bases = (document.source.name, *document.bases)
            document.source = yaml.source
        # What was said of the base alone does not hold of this network: what it is called, and the figures it has.
        for key in ("name", "description", "extends", "include"):
            document.keys.pop(key, None)
        document.expect.clear()
        for finding in found:
            document.findings.add(finding)
        document.broken |= broken
        self._lay_over(document, yaml)
        document.library.blocks.update(self._blocks(yaml, path, document.library, document))
        return document

    def _lay_over(self, document: Document, yaml: YamlMap) -> None:
        document.doubtful |= _doubtful(yaml, document.broken)
        for key, value in yaml.entries.items():
            document.key_spans[key] = yaml.keys[key]
            if key not in MERGED:
                document.keys[key] = value
        if "layers" in yaml.entries and "register" not in yaml.entries:
            document.keys.pop("register", None)  # it speaks of the steps that are replaced
        params, expect, defaults = (yaml.get(key) for key in ("params", "expect", "defaults"))
        if isinstance(params, YamlMap):
            document.params.update(params.entries)
            document.param_keys.update(params.keys)
        if isinstance(expect, YamlMap):
            document.expect.update(expect.entries)
        _add_defaults(document.library, defaults)
        _add_init(document.library, yaml.get("init"))

    def _blocks(self, yaml: YamlMap, path: str | None, library: Library, document: Document) -> dict[str, Block]:
        """Return the blocks that one file brings: its own, which belong to `library`, and the included ones."""
        blocks: dict[str, Block] = {}
        include = yaml.get("include")
        for item in include.items if isinstance(include, YamlList) else ():
            if isinstance(item, YamlScalar) and isinstance(item.value, str):
                self._add(blocks, self._included(item, path, document).blocks.values(), document, item.span)
            elif isinstance(item, YamlMap):
                self._add(blocks, self._included_here(item, path, document), document, item.span)
        own = yaml.get("blocks")
        if isinstance(own, YamlMap):
            entries = own.entries.items()
            brought = [Block(name, own.keys[name], b, library) for name, b in entries if isinstance(b, YamlMap)]
            for block in brought:
                if block.is_network:
                    block.network = self._network(block, path, document)
            self._add(blocks, brought, document, None)
        return blocks

    def _network(self, block: Block, path: str | None, document: Document) -> Document | None:
        """Return the spec that a block stands for, by its name or written in its place; None if it is in error."""
        reference, depth = block.yaml.entries["network"], len(self.trail)
        try:
            if isinstance(reference, YamlMap):
                found = self.lay(reference, path, document.broken)
                found.stem = block.name
            elif isinstance(reference, YamlScalar) and isinstance(reference.value, str):
                found = self._network_file(reference, path)
            else:
                return None  # the schema has said so
        except SpecError as error:  # the rest of the file is looked at all the same
            del self.trail[depth:]
            for finding in error.diagnostics:
                document.findings.add(finding)
            return None
        for finding in found.diagnostics:
            document.findings.add(finding)
        document.broken |= found.broken
        missing = [key for key in ("input", "layers") if key not in found.keys and key not in found.doubtful]
        if missing:
            message = f"{block.name}: expected a network, got a spec without {listed(missing)}"
            help = "a file that brings blocks only is included: `include: [...]`"
            document.findings.add(Diagnostic("document", message, reference.span, help=help))
        return None if missing else found

    def _network_file(self, reference: YamlScalar, path: str | None) -> Document:
        """Return the document of a file that is the network of a block, read once however many blocks name it."""
        target = self._target(reference, path)
        real = _real(target)
        if real in self.networks and real not in self.trail:
            self.files.append((real, ""))  # the files behind a name may change
        else:
            self.networks[real] = self.document(target, reference, "a network contains")
        return self.networks[real]

    def _add(self, blocks: dict[str, Block], more: Iterable[Block], document: Document, at: Span | None) -> None:
        for block in more:
            known = blocks.get(block.name)
            if known is not None and known is not block:
                message = f"the block `{block.name}` is defined twice"
                help = f"the other definition is at {known.span}"
                document.findings.add(Diagnostic("block", message, at or block.span, help=help))
            blocks[block.name] = block

    def _included(self, reference: YamlScalar, path: str | None, document: Document) -> Library:
        target = self._target(reference, path)
        real = _real(target)
        if real in self.libraries:
            self.files.append((real, ""))  # the files behind a name may change
            return self.libraries[real]
        with self._visit(target, reference) as yaml:
            return self._library(yaml, target, self.trail[-1], document)

    def _library(self, yaml: YamlMap, target: str, real: str, document: Document) -> Library:
        """Return what an included file brings."""
        found, broken = self._validated(yaml)
        document.broken |= broken
        for finding in found:
            document.findings.add(finding)
        for key in yaml.entries:
            if key not in INCLUDED_KEYS:
                message = f"the key `{key}` is not allowed in an included file"
                help = "an included file brings `blocks` only; `extends` takes over a whole spec"
                document.findings.add(Diagnostic("key", message, yaml.keys[key], help=help))
        library = self.libraries[real] = Library(sees_params=False)
        _add_defaults(library, yaml.get("defaults"))
        _add_init(library, yaml.get("init"))
        library.blocks.update(self._blocks(yaml, target, library, document))
        return library

    def _included_here(self, yaml: YamlMap, path: str | None, document: Document) -> Iterable[Block]:
        """Return the blocks that an entry of `include` brings which holds them itself.

        Entries of equal content bring the same blocks, as a file does that is included twice.
        """
        library = Library(sees_params=False)
        _add_defaults(library, yaml.get("defaults"))
        _add_init(library, yaml.get("init"))
        library.blocks.update(self._blocks(yaml, path, library, document))
        own = {key: value.plain() for key in ("defaults", "init", "blocks") if (value := yaml.get(key)) is not None}
        others = tuple(id(block) for block in library.blocks.values() if block.library is not library)
        library = self.libraries.setdefault((json.dumps(own), others), library)
        only = yaml.get("only")
        if not isinstance(only, YamlList):
            return library.blocks.values()
        names = {item.value: item.span for item in only.items if isinstance(item, YamlScalar)}
        unknown = [name for name in names if isinstance(name, str) and name not in library.blocks]
        for name in unknown[:MAX_FINDINGS]:
            help = did_you_mean(name, library.blocks)
            document.diagnostics.append(Diagnostic("block", f"only: unknown block `{name}`", names[name], help=help))
        return [block for name, block in library.blocks.items() if name in names]

    def _target(self, reference: YamlScalar, path: str | None) -> str:
        """Return the file that `extends` or `include` names: a sibling or a zoo spec by name, or a relative path."""
        name: str = reference.value
        if "\0" in name or os.path.isabs(name):
            raise SpecError(Diagnostic("path", f"expected a relative path, got {name}", reference.span, help=_RELATIVE))
        folder = os.path.dirname(path) if path else None
        if not _is_path(name):
            sibling = os.path.join(folder, f"{name}.yaml") if folder is not None else None
            files = zoo_files()
            if sibling is None or not os.path.isfile(sibling):
                if name not in files:
                    message = f"unknown spec `{name}`: it is neither beside this file nor in the zoo"
                    raise SpecError(Diagnostic("file", message, reference.span, help=did_you_mean(name, files)))
                return files[name]
            name = f"{name}.yaml"
        if folder is None:
            message = "a spec given as text reads specs of the zoo only"
            raise SpecError(Diagnostic("path", message, reference.span, help=_zoo_help(name)))
        target = os.path.join(folder, name)
        self._check_inside(_real(target), reference)  # nothing outside is even opened
        if not os.path.exists(target):
            help = f"a path has its ending: `{name}.yaml`" if os.path.exists(f"{target}.yaml") else _zoo_help(name)
            raise SpecError(Diagnostic("file", f"{name}: no such file", reference.span, help=help))
        return target


def _real(path: str) -> str:
    """Return where a path leads, links followed. It may lead elsewhere by the time that it is opened."""
    try:
        return os.path.realpath(path)
    except OSError:  # a link vanished while it was followed
        return os.path.abspath(path)


def _is_inside(path: str, folder: str) -> bool:
    return path.startswith(folder.rstrip(os.sep) + os.sep)


def _doubtful(yaml: YamlMap, broken: set[Yaml]) -> set[str]:
    """Return the keys of a file that are wrong, or may be there under a misspelt name."""
    unknown = [key for key in yaml.entries if key not in DOCUMENT_KEYS]
    near = [_meant(key) for key in unknown[:MAX_FINDINGS]]
    found = {key for key in near if key}
    if None in near or len(unknown) > MAX_FINDINGS:
        found |= set(DOCUMENT_KEYS) - yaml.entries.keys()
    for key in DOCUMENT_KEYS:
        value = yaml.get(key)
        if value in broken and (key == "defaults" or not isinstance(value, YamlMap | YamlList)):
            found.add(key)
    blocks = yaml.get("blocks")
    if isinstance(blocks, YamlMap) and not all(isinstance(block, YamlMap) for block in blocks.entries.values()):
        found.add("blocks")
    return found


def _meant(key: str) -> str | None:
    from archspec.vocabulary import key_called  # here, since most specs are right

    return key_called(key, DOCUMENT_KEYS)


def _add_defaults(library: Library, defaults: Yaml | None) -> None:
    if not isinstance(defaults, YamlMap):
        return
    for op, arguments in defaults.entries.items():
        if isinstance(arguments, YamlMap):
            library.defaults.setdefault(op, {}).update(arguments.entries)


def _add_init(library: Library, init: Yaml | None) -> None:
    """Add the rules of a file: each takes the place of the whole rule for its op."""
    if isinstance(init, YamlMap):
        library.init.update(init.entries)
