import com.sun.management.OperatingSystemMXBean;
import java.io.BufferedReader;
import java.io.File;
import java.io.FileOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.InputStreamReader;
import java.io.OutputStream;
import java.lang.management.ManagementFactory;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.KeyFactory;
import java.security.MessageDigest;
import java.security.PrivateKey;
import java.security.cert.CertificateFactory;
import java.security.cert.X509Certificate;
import java.security.spec.PKCS8EncodedKeySpec;
import java.util.Calendar;
import java.util.List;
import org.apache.pdfbox.cos.COSArray;
import org.apache.pdfbox.cos.COSDictionary;
import org.apache.pdfbox.cos.COSName;
import org.apache.pdfbox.pdmodel.PDDocument;
import org.apache.pdfbox.pdmodel.PDPage;
import org.apache.pdfbox.pdmodel.common.PDRectangle;
import org.apache.pdfbox.pdmodel.interactive.annotation.PDAppearanceDictionary;
import org.apache.pdfbox.pdmodel.interactive.annotation.PDAppearanceStream;
import org.apache.pdfbox.pdmodel.interactive.digitalsignature.PDSignature;
import org.apache.pdfbox.pdmodel.interactive.digitalsignature.SignatureInterface;
import org.apache.pdfbox.pdmodel.interactive.digitalsignature.SignatureOptions;
import org.apache.pdfbox.pdmodel.interactive.form.PDAcroForm;
import org.apache.pdfbox.pdmodel.interactive.form.PDSignatureField;
import org.bouncycastle.asn1.DERSet;
import org.bouncycastle.asn1.cms.Attribute;
import org.bouncycastle.asn1.cms.AttributeTable;
import org.bouncycastle.asn1.cms.CMSAttributes;
import org.bouncycastle.asn1.ess.ESSCertIDv2;
import org.bouncycastle.asn1.ess.SigningCertificateV2;
import org.bouncycastle.asn1.pkcs.PKCSObjectIdentifiers;
import org.bouncycastle.cert.jcajce.JcaCertStore;
import org.bouncycastle.cms.CMSSignedData;
import org.bouncycastle.cms.CMSSignedDataGenerator;
import org.bouncycastle.cms.CMSTypedData;
import org.bouncycastle.cms.DefaultSignedAttributeTableGenerator;
import org.bouncycastle.cms.jcajce.JcaSignerInfoGeneratorBuilder;
import org.bouncycastle.operator.ContentSigner;
import org.bouncycastle.operator.jcajce.JcaContentSignerBuilder;
import org.bouncycastle.operator.jcajce.JcaDigestCalculatorProviderBuilder;

/**
 * Signs with PDFBox as its own examples do, in a process that stays warm: one request a line, one answer a line.
 *
 * Arguments: key (PKCS#8), certificate and root (DER). A request is `COUNT INPUT OUTPUT [OPTION]...`, divided by tabs; options are `visible`,
 * `certified`, `older` (adbe.pkcs7.detached) and `saved` (the whole file is written anew by PDFBox before it is signed). The answer is
 * the processor time of this process for one signature in nanoseconds, the mean of COUNT, or `error` with the reason.
 */
public final class PdfBoxSigner {
    private final PrivateKey key;
    private final X509Certificate own;
    private final X509Certificate root;

    private PdfBoxSigner(PrivateKey key, X509Certificate own, X509Certificate root) {
        this.key = key;
        this.own = own;
        this.root = root;
    }

    public static void main(String[] given) throws Exception {
        X509Certificate own = certificate(given[1]);
        byte[] encoded = Files.readAllBytes(Path.of(given[0]));
        PrivateKey key = KeyFactory.getInstance(own.getPublicKey().getAlgorithm()).generatePrivate(new PKCS8EncodedKeySpec(encoded));
        PdfBoxSigner signer = new PdfBoxSigner(key, own, certificate(given[2]));
        OperatingSystemMXBean machine = ManagementFactory.getPlatformMXBean(OperatingSystemMXBean.class);
        BufferedReader requests = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line = requests.readLine(); line != null; line = requests.readLine()) {
            String[] parts = line.split("\t");
            int count = Integer.parseInt(parts[0]);
            List<String> options = List.of(parts).subList(3, parts.length);
            try {
                long begin = machine.getProcessCpuTime();
                for (int turn = 0; turn < count; turn++) {
                    signer.sign(new File(parts[1]), new File(parts[2]), options);
                }
                System.out.println((machine.getProcessCpuTime() - begin) / count);
            } catch (Exception error) {
                System.out.println("error " + error);
            }
            System.out.flush();
        }
    }

    private static X509Certificate certificate(String path) throws Exception {
        try (InputStream data = Files.newInputStream(Path.of(path))) {
            return (X509Certificate) CertificateFactory.getInstance("X.509").generateCertificate(data);
        }
    }

    private void sign(File input, File output, List<String> options) throws Exception {
        File source = input;
        if (options.contains("saved")) {
            source = new File(output.getPath() + ".saved");
            try (PDDocument document = PDDocument.load(input)) {
                document.save(source);
            }
        }
        try (PDDocument document = PDDocument.load(source);
                SignatureOptions room = new SignatureOptions();
                OutputStream out = new FileOutputStream(output)) {
            PDSignature signature = new PDSignature();
            signature.setFilter(PDSignature.FILTER_ADOBE_PPKLITE);
            signature.setSubFilter(options.contains("older") ? PDSignature.SUBFILTER_ADBE_PKCS7_DETACHED : PDSignature.SUBFILTER_ETSI_CADES_DETACHED);
            signature.setName("Sample");
            signature.setSignDate(Calendar.getInstance());
            room.setPreferredSignatureSize(20_000);
            if (options.contains("certified")) {
                certify(document, signature);
            }
            if (options.contains("visible")) {
                room.setPage(0);
                room.setVisualSignature(template(document.getPage(0)));
            }
            boolean pades = !options.contains("older");
            document.addSignature(signature, (SignatureInterface) content -> container(content, pades), room);
            document.saveIncremental(out);
        }
    }

    /** DocMDP P=2 (ISO 32000-1, 12.8.2.2), as in PDFBox's examples. */
    private static void certify(PDDocument document, PDSignature signature) {
        COSDictionary params = new COSDictionary();
        params.setItem(COSName.TYPE, COSName.getPDFName("TransformParams"));
        params.setInt(COSName.P, 2);
        params.setName(COSName.V, "1.2");
        params.setNeedToBeUpdated(true);
        COSDictionary reference = new COSDictionary();
        reference.setItem(COSName.TYPE, COSName.getPDFName("SigRef"));
        reference.setItem(COSName.getPDFName("TransformMethod"), COSName.getPDFName("DocMDP"));
        reference.setItem(COSName.getPDFName("TransformParams"), params);
        reference.setNeedToBeUpdated(true);
        COSArray references = new COSArray();
        references.add(reference);
        references.setNeedToBeUpdated(true);
        signature.getCOSObject().setItem(COSName.getPDFName("Reference"), references);
        COSDictionary catalog = document.getDocumentCatalog().getCOSObject();
        COSDictionary permissions = new COSDictionary();
        permissions.setItem(COSName.getPDFName("DocMDP"), signature);
        permissions.setNeedToBeUpdated(true);
        catalog.setItem(COSName.getPDFName("Perms"), permissions);
        catalog.setNeedToBeUpdated(true);
    }

    /** The document with the visible field that PDFBox copies into the one that is signed: a frame, no text. */
    private static InputStream template(PDPage like) throws IOException {
        try (PDDocument made = new PDDocument()) {
            PDPage page = new PDPage(like.getMediaBox());
            made.addPage(page);
            PDAcroForm form = new PDAcroForm(made);
            made.getDocumentCatalog().setAcroForm(form);
            PDSignatureField field = new PDSignatureField(form);
            form.setSignaturesExist(true);
            form.setAppendOnly(true);
            form.getCOSObject().setDirect(true);
            form.getFields().add(field);
            field.getWidgets().get(0).setRectangle(new PDRectangle(330, 60, 120, 50));
            PDAppearanceStream drawn = new PDAppearanceStream(made);
            drawn.setBBox(new PDRectangle(120, 50));
            drawn.setResources(new org.apache.pdfbox.pdmodel.PDResources());
            try (OutputStream content = drawn.getContentStream().createOutputStream()) {
                content.write("0.05 0.18 0.55 RG 1 w 1 1 118 48 re S".getBytes(StandardCharsets.US_ASCII));
            }
            PDAppearanceDictionary appearance = new PDAppearanceDictionary();
            appearance.getCOSObject().setDirect(true);
            appearance.setNormalAppearance(drawn);
            field.getWidgets().get(0).setAppearance(appearance);
            java.io.ByteArrayOutputStream out = new java.io.ByteArrayOutputStream();
            made.save(out);
            return new java.io.ByteArrayInputStream(out.toByteArray());
        }
    }

    /** `pades`: the attributes of EN 319 142-1: the signing certificate named, no signing time. */
    private byte[] container(InputStream content, boolean pades) throws IOException {
        try {
            CMSSignedDataGenerator generator = new CMSSignedDataGenerator();
            String algorithm = key.getAlgorithm().startsWith("EC") ? "SHA256withECDSA" : "SHA256withRSA";
            ContentSigner signer = new JcaContentSignerBuilder(algorithm).build(key);
            JcaSignerInfoGeneratorBuilder info = new JcaSignerInfoGeneratorBuilder(new JcaDigestCalculatorProviderBuilder().build());
            if (pades) {
                byte[] digest = MessageDigest.getInstance("SHA-256").digest(own.getEncoded());
                Attribute named = new Attribute(
                        PKCSObjectIdentifiers.id_aa_signingCertificateV2,
                        new DERSet(new SigningCertificateV2(new ESSCertIDv2[] {new ESSCertIDv2(digest)})));
                DefaultSignedAttributeTableGenerator usual = new DefaultSignedAttributeTableGenerator(new AttributeTable(named));
                info.setSignedAttributeGenerator(given -> usual.getAttributes(given).remove(CMSAttributes.signingTime));
            }
            generator.addSignerInfoGenerator(info.build(signer, own));
            generator.addCertificates(new JcaCertStore(List.of(own, root)));
            CMSSignedData made = generator.generate(new Content(content), false);
            return made.getEncoded();
        } catch (Exception error) {
            throw new IOException(error);
        }
    }

    /** What is signed, read as a stream, as PDFBox's examples do. */
    private record Content(InputStream data) implements CMSTypedData {
        @Override
        public org.bouncycastle.asn1.ASN1ObjectIdentifier getContentType() {
            return org.bouncycastle.asn1.cms.CMSObjectIdentifiers.data;
        }

        @Override
        public void write(OutputStream out) throws IOException {
            data.transferTo(out);
        }

        @Override
        public Object getContent() {
            return data;
        }
    }
}
