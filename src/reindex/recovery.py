"""Making the stores agree, on every opening for writing, crash or not. The ledger decides.

A table ahead of the ledger is taken back; a pointer behind it is moved on; a ledger that knows less than the
table is made again from the table's own rows; a table that can't be read is given up, and a new generation is
made from the cache. LanceDB is imported only if something does not agree.
"""

from collections.abc import Sequence
from dataclasses import replace
from itertools import compress

from reindex.core.generations import TABLE_STATES, Generation, GenerationState
from reindex.errors import NewerFormatError, StoreError
from reindex.stores.document_rows import recorded_from
from reindex.stores.manifests import manifest_path, versions_on_disk
from reindex.stores.pointer import Published
from reindex.writer import FilesState, Writer, published_from


def recover(writer: Writer) -> None:
    """Make ledger, table, pointer and cache agree."""
    published = _read_pointer(writer)
    writer.open_generation(_open_generation(writer.ledger.generations.all()))
    before = writer.generation
    state = FilesState.NEW if before is None else writer.state_of_files(before)
    if writer.generation is not None:
        _align_table(writer, writer.generation, published)
    elif published is not None and _is_on_disk(writer, published):
        _adopt_pointer(writer, published)
    _check_files(writer, before, state)
    _align_pointer(writer, published)
    if not writer.cache.is_complete:
        _refill_cache(writer)


def recover_beside(writer: Writer) -> None:
    """The same for a generation that readers are not on: it agrees with its table afterwards, or is given up
    (then the writer has none).
    """
    before = writer.generation
    assert before is not None, "there is one to recover"
    state = writer.state_of_files(before)
    _align_table(writer, before, None)
    _check_files(writer, before, state)


def _open_generation(generations: Sequence[Generation]) -> Generation | None:
    """The live generation, or one whose first window was never published."""
    for state in (GenerationState.LIVE, GenerationState.BUILDING):
        found = [generation for generation in generations if generation.state is state]
        if found:
            return found[-1]
    return None


def _align_table(writer: Writer, generation: Generation, published: Published | None) -> None:
    versions = versions_on_disk(writer.data_dir, generation.table)
    is_same_table = published is not None and published.table == generation.table
    if generation.version in versions:
        if versions[-1] != generation.version:
            _take_back(writer, generation)
    elif published is None or not _is_on_disk(writer, published):
        # What else the table has may be half of a window: not to be believed.
        writer.give_up_table(generation)
    elif is_same_table:
        writer.warn("the ledger does not know the table's version: its record is made again from the table")
        _record_from_rows(writer, generation, published.version, is_known=True)
    else:  # the ledger is from a backup that is older than the pointer
        writer.give_up_table(generation)
        _adopt_pointer(writer, published)


def _take_back(writer: Writer, generation: Generation) -> None:
    """The table is ahead of the ledger: its last commits were never recorded."""
    try:
        restored = writer.table().restore(generation.version)
    except StoreError as error:
        _give_up_if_broken(writer, generation, error)
        return
    manifest = manifest_path(generation.table, restored)
    writer.generation = writer.ledger.generations.record_version(generation, restored, manifest)


def _adopt_pointer(writer: Writer, published: Published) -> None:
    """The ledger is lost, or older than the pointer: take the published table as it is."""
    known = {generation.number: generation for generation in writer.ledger.generations.all()}
    generation = known.get(published.generation)
    if generation is not None and generation.state in {GenerationState.LOST, GenerationState.DROPPED}:
        return
    writer.warn("the ledger was lost: its record is made again from the published table")
    adopted = generation or Generation(
        number=published.generation,
        state=GenerationState.LIVE,
        table=published.table,
        recipe=published.recipe,
        version=published.version,
        manifest=published.manifest,
        created_at=published.published_at,
        promoted_at=writer.clock.now(),
        promoted_by="recovery",
        behind=published.behind,
    )
    writer.open_generation(adopted)
    _record_from_rows(writer, adopted, published.version, is_known=generation is not None)
    if writer.generation is not None and not writer.is_live:
        now = writer.clock.now()
        writer.generation = writer.ledger.generations.promote(writer.generation, now, "recovery")


def _record_from_rows(writer: Writer, generation: Generation, version: int, *, is_known: bool) -> None:
    """Everything of the generation enters the ledger in one transaction, or nothing does."""
    try:
        table = writer.table()
        if table.version != version:
            version = table.restore(version)
        documents = {layout.name: recorded_from(layout) for layout in table.layouts()}
    except (StoreError, ValueError, KeyError) as error:
        if is_known:
            _give_up_if_broken(writer, generation, error)
        else:
            writer.open_generation(None)
        return
    with writer.ledger.transaction():
        if not is_known:
            writer.ledger.generations.add(generation)
        writer.ledger.documents.replace_all(generation.number, documents)
        writer.distrust_table(generation.table)
        manifest = manifest_path(generation.table, version)
        writer.generation = writer.ledger.generations.record_version(generation, version, manifest)


def _check_files(writer: Writer, before: Generation | None, state: FilesState) -> None:
    """`before` is the generation as the ledger had it, and `state` what had become of its files. Where they
    are not known, all rows are read and every index is asked.

    A crash leaves files that are new. Where one that was known good is another now, or gone (damage, a copy
    without its times, a kill inside a prune), nothing is taken on trust: rows are held against ledger and
    cache, indices are made again.
    """
    generation = writer.generation
    if generation is None:
        return
    is_known = state is FilesState.KNOWN
    if is_known and before == generation:
        return
    is_touched = writer.state_of_files(generation) is FilesState.TOUCHED
    if is_known and not is_touched and before is not None and before.table == generation.table:
        writer.record_files()  # taken back: the same files and a new manifest
        return
    try:
        if not _is_readable(writer, generation) or (is_touched and not _is_content_sound(writer, generation)):
            writer.give_up_table(generation)
            return
        if is_touched:
            _renew_indices(writer, generation)
    except (StoreError, ValueError, KeyError) as error:
        _give_up_if_broken(writer, generation, error)
        return
    writer.record_files()


def _renew_indices(writer: Writer, generation: Generation) -> None:
    """Whether an index answers rightly can't be read off it. (Published by what follows.)

    Compaction reads the manifest of every older version: better now, where a broken table can be given up.
    """
    table = writer.table()
    table.create_indices()
    table.optimise()
    if table.statistics().has_vector_index:
        table.build_vector_index()
    writer.generation = writer.ledger.generations.record_version(generation, table.version, table.manifest)


def _is_readable(writer: Writer, generation: Generation) -> bool:
    """Every row of the table can be read, there are as many as recorded, and its indices answer."""
    table = writer.table()
    is_whole = table.read_all() == sum(writer.ledger.documents.totals(generation.number))
    writer.snapshot().probe()
    return is_whole


def _is_content_sound(writer: Writer, generation: Generation) -> bool:
    """The rows are those that the ledger recorded, with texts and vectors as their keys promise."""
    from reindex.integrity import expected_rows, row_faults, vectors_unlike_the_cache

    snapshot = writer.snapshot()
    recorded = writer.ledger.documents.all(generation.number)
    documents = []
    for layout in snapshot.layouts():
        if recorded.pop(layout.name, None) != recorded_from(layout):
            return False
        documents.append(expected_rows(layout))
    if recorded or row_faults(snapshot, documents).found:
        return False
    return not vectors_unlike_the_cache(snapshot, writer.cache)


def _give_up_if_broken(writer: Writer, generation: Generation, error: Exception) -> None:
    """A full disk or a missing permission is not the table's fault."""
    if isinstance(error, StoreError) and error.is_of_the_place:
        raise error
    writer.give_up_table(generation)


def _align_pointer(writer: Writer, published: Published | None) -> None:
    generation = writer.generation
    if generation is None or generation.state is not GenerationState.LIVE:
        return
    if published is None or replace(published, published_at=0.0) != published_from(generation, 0.0):
        writer.publish()


def _read_pointer(writer: Writer) -> Published | None:
    try:
        return writer.pointer.read()
    except NewerFormatError:
        raise
    except StoreError as error:
        if error.is_of_the_place:
            raise
        writer.warn(error.message)
        return None


def _refill_cache(writer: Writer) -> None:
    """The cache is new: the table's rows carry keys and vectors, so that nothing is paid for again.

    It was all that knew better: what can't be a vector is left out, and the table made again without it. The
    other generations' tables are asked too, because their vectors may be of other spaces; where they differ,
    those that were made afresh are kept, or else the live one's.
    """
    live = writer.generation.number if writer.generation is not None else None
    known = [g for g in writer.ledger.generations.all() if g.state in TABLE_STATES]
    for generation in sorted(known, key=lambda g: (g.is_fresh, g.number == live)):
        filler = writer
        if generation.number != live:
            filler = Writer(writer.stores, generation)
            recover_beside(filler)
        if filler.generation is not None:
            _refill_from(filler, filler.generation)
    if vectors := writer.cache.count():
        writer.warn(f"the vector cache was filled again from the index: {vectors} vectors")
    writer.cache.mark_complete()


def _refill_from(writer: Writer, generation: Generation) -> None:
    from reindex.vectors import are_unit

    is_sound = True
    for keys, vectors in writer.table().vectors():
        sound = are_unit(vectors)
        is_sound = is_sound and bool(sound.all())
        since = generation.number if generation.is_fresh else 0
        writer.cache.put(
            list(compress(keys, sound)), vectors[sound], writer.stores.today, newest_generation=since
        )
    if not is_sound:
        writer.give_up_table(generation)


def _is_on_disk(writer: Writer, published: Published) -> bool:
    return published.version in versions_on_disk(writer.data_dir, published.table)
