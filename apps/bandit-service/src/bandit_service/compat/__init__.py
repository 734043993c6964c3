"""APIs that clients of other systems know, on the services of api/. Imports api and lower layers."""
