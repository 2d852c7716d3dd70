"""Long tests by hand: hundreds of trainings and kills, too slow for every change."""
