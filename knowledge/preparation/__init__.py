"""What a store does to a document's text before it is cut: personal data is replaced by placeholders.

    settings      the store's `preparation`: checked, stored, named
    recognisers   what is looked for, and how a find is told from an ordinary number
    redaction     a text with its finds replaced, and where its pages are now

The placeholder, `<EMAIL_ADDRESS>`, not the value, is in the text that is kept, in chunks, vectors, terms and answers of
that store. What is uploaded stays as it is: the file's bytes (`/v1/files/{id}/content`) and its name hold what they held,
and another store of the tenant that attaches the same file without redaction holds the text as it was read.

It works by form and checksum, without a model. So it does not see what has neither: names of people and places, postal
addresses, dates of birth, what is told in words ("four one five …"), values that an image shows and OCR misreads, numbers
of kinds that `recognisers` does not list, and phone numbers written without `+` outside the store's regions.
"""
