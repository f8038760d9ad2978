"""The one-stop office: where an applicant's dossier stands, shown to whoever has its link."""
