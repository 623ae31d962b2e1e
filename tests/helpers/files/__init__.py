"""Files that tests read: well made, damaged, and malicious."""
