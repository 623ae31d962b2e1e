"""What a study's file may say."""
