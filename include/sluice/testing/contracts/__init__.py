"""Contract tests: one class of tests for each port. A subclass overrides the fixture:

class TestMine(KeyringContract):
    @pytest.fixture
    def keyring(self) -> Keyring:
        return MyKeyring()
"""
