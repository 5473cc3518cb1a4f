"""The critic: which samples look most like photographs, by what is around the edit."""
