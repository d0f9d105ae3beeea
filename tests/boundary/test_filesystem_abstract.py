"""fsspec's own tests of what a filesystem has to do (`fsspec.tests.abstract`): on a draft, and copies out of what was committed."""

from __future__ import annotations

import fsspec.tests.abstract as abstract
import pytest

from shoal.filesystem import ShoalFileSystem


class OurFixtures(abstract.AbstractFixtures):
    @pytest.fixture
    def fs(self, tmp_path):
        return ShoalFileSystem(tmp_path / "store", write=True, skip_instance_cache=True)

    @pytest.fixture
    def fs_join(self):
        return lambda *parts: "/".join(parts)

    @pytest.fixture
    def fs_path(self):
        return "draft"


class TestCopy(abstract.AbstractCopyTests, OurFixtures):
    pass


class TestGet(abstract.AbstractGetTests, OurFixtures):
    pass


class TestPut(abstract.AbstractPutTests, OurFixtures):
    pass


class TestOpen(abstract.AbstractOpenTests, OurFixtures):
    pass


class TestPipe(abstract.AbstractPipeTests, OurFixtures):
    pass


class CommittedFixtures(OurFixtures):
    """The same sources, but below a CID: made in a draft, and committed."""

    @staticmethod
    def committed(fs, source):
        draft, _, below = source.partition("/")
        return f"{fs.commit(draft)}/{below}"

    @pytest.fixture
    def fs_bulk_operations_scenario_0(self, fs, fs_join, fs_path):
        return self.committed(fs, self._bulk_operations_scenario_0(fs, fs_join, fs_path))

    @pytest.fixture
    def fs_glob_edge_cases_files(self, fs, fs_join, fs_path):
        return self.committed(fs, self._glob_edge_cases_files(fs, fs_join, fs_path))

    @pytest.fixture
    def fs_dir_and_file_with_same_name_prefix(self, fs, fs_join, fs_path):
        return self.committed(fs, self._dir_and_file_with_same_name_prefix(fs, fs_join, fs_path))

    @pytest.fixture
    def fs_10_files_with_hashed_names(self, fs, fs_join, fs_path):
        return self.committed(fs, self._10_files_with_hashed_names(fs, fs_join, fs_path))


class TestGetCommitted(abstract.AbstractGetTests, CommittedFixtures):
    pass


class TestCopyCommitted(abstract.AbstractCopyTests, CommittedFixtures):
    pass
